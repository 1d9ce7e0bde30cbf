"""The same as a page with charts, by Plotly: an optional library, for those who want to look rather than read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skysail.errors import ConfigError, MissingExtra

__all__ = ["draw", "require"]


def require() -> None:
    """Raise `MissingExtra` where Plotly is not installed: better before measuring than after."""
    try:
        import plotly.graph_objects  # noqa: F401, PLC0415  # an optional library
    except ImportError as error:
        raise MissingExtra("--plot", "ui", "plotly") from error


def draw(path: Path, document: Mapping[str, Any]) -> None:
    """Write a page that needs no network: latency by rate, latency by rows of a batch, and where the time goes.

    Raises `MissingExtra` as `require` does, and `ConfigError` where the file cannot be written.
    """
    require()
    from plotly.subplots import make_subplots  # noqa: PLC0415

    titles = ("Latency by rate, ms", "Latency by rows of a batch, ms", "Where a query's time goes, ms")
    figure = make_subplots(rows=3, cols=1, subplot_titles=titles, vertical_spacing=0.1)
    _add_rates(figure, document)
    _add_batches(figure, document["batches"])
    if document["time"] is not None:
        _add_time(figure, document["time"])
    machine = "; ".join([*document["machine"].values(), *document["notes"]])
    title = f"{document['app']} of {document['file']}<br><sup>{machine}</sup>"
    figure.update_layout(title=title, height=1300, barmode="stack", template="plotly_white", margin={"t": 120})
    try:
        path.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--plot {path} cannot be written: {error.strerror}; name another file") from error


def _add_rates(figure: Any, document: Mapping[str, Any]) -> None:
    trials = sorted(document["trials"], key=lambda trial: trial["offered"])
    rates = [trial["offered"] for trial in trials]
    signs = ["circle" if trial["kept"] else "x" for trial in trials]
    for name in ("p50", "p90", "p99"):
        points = {"x": rates, "y": [trial[f"{name}_ms"] for trial in trials]}
        figure.add_scatter(**points, name=name, mode="lines+markers", marker={"symbol": signs}, row=1, col=1)
    figure.add_hline(y=document["slo_ms"], line_dash="dash", annotation_text="objective", row=1, col=1)
    figure.update_xaxes(title_text="queries/s (× missed)", row=1, col=1)
    figure.update_yaxes(type="log", row=1, col=1)


def _add_batches(figure: Any, batches: Mapping[str, Any]) -> None:
    for replica, batch in batches.items():
        rows = [point["rows"] for point in batch["curve"]]
        for name, key, dash in ((replica, "ms", "solid"), (f"{replica}, p99", "p99_ms", "dot")):
            times = [point[key] for point in batch["curve"]]
            figure.add_scatter(x=rows, y=times, name=name, mode="lines", line={"dash": dash}, row=2, col=1)
        seen = {"x": [point["rows"] for point in batch["seen"]], "y": [point["ms"] for point in batch["seen"]]}
        figure.add_scatter(**seen, name=f"{replica}, seen", mode="markers", row=2, col=1)
    figure.update_xaxes(title_text="rows", row=2, col=1)


def _add_time(figure: Any, time: Mapping[str, Any]) -> None:
    at = f"{time['rate']:,.0f} queries/s"
    for what, ms in time["steps"].items():
        figure.add_bar(x=[ms], y=[at], name=what, orientation="h", row=3, col=1)
