"""The demo as it runs: a live table on a terminal, or a plain line every two seconds where there is none."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from skysail.demo.models import BEST
from skysail.demo.score import SKYSAIL, VOTE
from skysail.demo.snapshot import ModelView, Snapshot

__all__ = ["bar", "live", "phase", "plain"]

_BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float, width: int = _BAR) -> str:
    """A bar as long as a share of the width, to an eighth of a character.

    >>> bar(0.5, 4)
    '██  '
    >>> bar(0.3, 4)
    '█▎  '
    """
    eighths = 0 if math.isnan(share) else round(min(1.0, max(0.0, share)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def phase(snapshot: Snapshot) -> str:
    """What state the best model is in."""
    version = next(model.ref for model in snapshot.models if model.ref.partition("@")[0] == BEST)
    return f"{version} serves" if version == f"{BEST}@1" else f"{version}, a bad release of {BEST}, serves"


def live(snapshot: Snapshot, seconds: float, slo_ms: float) -> RenderableType:
    """The live view: the models with their weights and errors, and the traffic under them."""
    return Group(_models(snapshot, seconds), _traffic(snapshot, slo_ms))


def _models(snapshot: Snapshot, seconds: float) -> Table:
    broken = phase(snapshot) != f"{BEST}@1 serves"
    title = f"{snapshot.elapsed:.0f} of {seconds:.0f} s: {phase(snapshot)}"
    table = Table(title=Text(title, style="bold red" if broken else "bold"), title_justify="left")
    table.add_column("model")
    table.add_column("weight", min_width=_BAR)
    table.add_column("mean batch", justify="right")
    table.add_column("error, last 200", justify="right")
    table.add_column("error, whole run", justify="right")
    for model in snapshot.models:
        table.add_row(*_model_cells(model), style="red" if broken and model.ref.partition("@")[0] == BEST else "")
    table.add_section()
    for name, style in ((VOTE, ""), (SKYSAIL, "bold green")):
        table.add_row(name, "", "", _percent(snapshot.recent[name]), _percent(snapshot.whole[name]), style=style)
    return table


def _model_cells(model: ModelView) -> tuple[str, ...]:
    batch = "" if math.isnan(model.batch) else f"{model.batch:.1f}"
    return model.ref, bar(model.weight), batch, _percent(model.recent), _percent(model.whole)


def _traffic(snapshot: Snapshot, slo_ms: float) -> Text:
    return Text(
        f"{snapshot.rate:.0f} queries/s: {snapshot.answered} answered, {snapshot.taught} labels taught, "
        f"{snapshot.defaults} defaults, {snapshot.failures} failed\n"
        f"latency at the client p50 {snapshot.p50:.1f} ms, p99 {snapshot.p99:.1f} ms; "
        f"in the server p99 {snapshot.server_p99:.1f} ms; objective {slo_ms:.0f} ms\n"
        f"cache: {snapshot.cache_hits} evaluations saved, {_percent(snapshot.cache_share)} of all"
    )


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.1%}"


def plain(snapshot: Snapshot, slo_ms: float) -> str:
    """The same as one line of text."""
    weights = " ".join(f"{model.ref} {model.weight:.2f}" for model in snapshot.models)
    batches = "/".join("–" if math.isnan(model.batch) else f"{model.batch:.1f}" for model in snapshot.models)
    return (
        f"{snapshot.elapsed:5.1f} s  {snapshot.rate:4.0f} q/s  p50 {snapshot.p50:.1f} p99 {snapshot.p99:.1f} ms "
        f"(objective {slo_ms:.0f})  mean batches {batches}  cache hits {_percent(snapshot.cache_share)}  "
        f"weights {weights}  "
        f"error, last 200: Skysail {_percent(snapshot.recent[SKYSAIL])}, vote {_percent(snapshot.recent[VOTE])}, "
        f"{snapshot.models[0].ref} {_percent(snapshot.models[0].recent)}"
    )
