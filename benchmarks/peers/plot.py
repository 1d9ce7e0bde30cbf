"""The same as a picture: a panel for each model's closed loops, one for the open loops, one for the overloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.peers.records import Results
from benchmarks.peers.workloads import MODELS
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["draw", "figure_of"]

_BARS = {64: "tab:blue", 256: "lightskyblue"}
_DYNAMIC = {"linear784": "tab:blue", "forest784": "tab:green"}
_THICK = 0.4


def draw(path: Path, results: Results) -> None:
    """Write a picture of what was measured."""
    figure_of(results).savefig(path, dpi=110)


def figure_of(results: Results) -> Figure:
    """Medians as bars, the least and the greatest as lines."""
    systems = list(results.systems())[::-1]  # the first is on top
    figure = Figure(figsize=(11, 8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3, sharey=True).flat
    for axes, workload in zip(panels, MODELS, strict=False):
        values = {
            (system, f"{connections} connections"): results.rates(system, workload, connections)
            for system in systems
            for connections in _BARS
        }
        _bars(axes, systems, values, [f"{connections} connections" for connections in _BARS], list(_BARS.values()))
        axes.set_title(f"{workload}: closed loop, queries/s", fontsize=10)
    searched = {
        (system, workload): [it.rate for it in results.open if (it.system, it.workload) == (system, workload)]
        for system in systems
        for workload in _DYNAMIC
    }
    flooded = {
        (system, workload): [
            100.0 * it.goodput / it.capacity
            for it in results.overloads
            if (it.system, it.workload) == (system, workload) and it.capacity
        ]
        for system in systems
        for workload in _DYNAMIC
    }
    titles = ("highest open-loop rate, p99 ≤ 20 ms", "3 × capacity: in 50 ms, % of capacity")
    for axes, seen, title in zip(list(figure.axes)[len(MODELS) :], (searched, flooded), titles, strict=True):
        _bars(axes, systems, seen, list(_DYNAMIC), list(_DYNAMIC.values()))
        axes.set_title(title, fontsize=10)
    return figure


def _bars(
    axes: Axes,
    systems: Sequence[str],
    values: Mapping[tuple[str, str], list[float]],
    kinds: Sequence[str],
    colours: Sequence[str],
) -> None:
    """For each system a bar of each kind, the first above; none where nothing was measured."""
    for place, (kind, colour) in enumerate(zip(kinds, colours, strict=True)):
        known = [(at, values[system, kind]) for at, system in enumerate(systems) if values[system, kind]]
        if not known:
            continue
        middles = [median(seen) for _, seen in known]
        least = [middle - min(seen) for middle, (_, seen) in zip(middles, known, strict=True)]
        most = [max(seen) - middle for middle, (_, seen) in zip(middles, known, strict=True)]
        axes.barh(
            [at + _THICK * (0.5 - place) for at, _ in known],
            middles,
            height=_THICK,
            xerr=[least, most],
            color=colour,
            ecolor="dimgray",
            label=kind,
        )
    axes.set_yticks(range(len(systems)), systems)
    axes.tick_params(labelsize=8)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="lower right")
