"""The demo's picture: the models' weights and everybody's error over time, with the moments of the break and the
mending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skysail.demo.score import SKYSAIL, VOTE, Scores
from skysail.errors import MissingExtra

__all__ = ["Moment", "draw"]

_WINDOW = 200
_LINES: dict[str, dict[str, Any]] = {
    SKYSAIL: {"color": "black", "linewidth": 2.5, "zorder": 3},
    VOTE: {"color": "grey", "linewidth": 1.5},
}


@dataclass(frozen=True)
class Moment:
    """Something that happened, to be marked."""

    at: float
    """Seconds from the start."""

    what: str
    """In a few words."""


def draw(
    path: Path, scores: Scores, weights: Sequence[tuple[float, dict[str, float]]], moments: Sequence[Moment]
) -> None:
    """Write a PNG. Raises `MissingExtra` where Matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # an optional library
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("the demo's plot", "demo", "matplotlib") from error
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    _draw_weights(above, [name for name in scores.names if name not in {SKYSAIL, VOTE}], weights)
    _draw_errors(below, scores)
    for axes in (above, below):
        for moment in moments:
            axes.axvline(moment.at, color="black", linestyle="--", linewidth=1)
            axes.annotate(
                moment.what, (moment.at, axes.get_ylim()[1]), xytext=(3, -11), textcoords="offset points", fontsize=8
            )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=120)


def _draw_weights(axes: Any, models: Sequence[str], weights: Sequence[tuple[float, dict[str, float]]]) -> None:
    times = [at for at, _ in weights]
    for model in models:
        axes.plot(times, [trust.get(model, 0.0) for _, trust in weights], label=model)
    axes.set(ylabel="weight", ylim=(0.0, 1.1), title="How much each model is trusted")


def _draw_errors(axes: Any, scores: Scores) -> None:
    shares = scores.windowed(_WINDOW)
    times = [result.at for result in scores.results[_WINDOW - 1 :]]
    for column, name in enumerate(scores.names):
        style = {"linewidth": 1.0} | _LINES.get(name, {})
        axes.plot(times, shares[:, column], label=name, **style)
    axes.set(
        xlabel="seconds", ylabel="error", ylim=(0.0, 1.1), title=f"Share of wrong answers among the last {_WINDOW}"
    )
