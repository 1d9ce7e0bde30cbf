"""The server's documents as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from skysail.client import Prediction
from skysail.types import same_json

__all__ = ["prediction_text", "status_view", "why_view"]

_Document = Mapping[str, Any]


def prediction_text(prediction: Prediction) -> str:
    """An answer: the output by itself, then how sure it is and where it came from."""
    missing = f", without {', '.join(prediction.missing)}" if prediction.missing else ""
    origin = f"the default ({prediction.reason})" if prediction.default else ", ".join(prediction.models) + missing
    facts = {
        "from": origin,
        "confidence": _number(prediction.confidence),
        "agreement": _number(prediction.agreement),
        "id": prediction.prediction_id,
    }
    return "\n".join([_json(prediction.output), *(f"{name:<12}{value}" for name, value in facts.items())])


def why_view(why: _Document) -> RenderableType:
    """A decision: what was answered and why, what each model said, and what feedback made of it."""
    answered = f"the default, {why['reason']}" if why["default"] else _json(why["output"])
    context = "" if why["context"] is None else f" in context {why['context']}"
    lines = [
        f"{why['app']} answered {answered}{context} after {_number(why['latency_ms'], 1)} ms",
        f"by {why['policy']}; confidence {_number(why['confidence'])}, agreement {_number(why['agreement'])}",
    ]
    if why["fallback"]:
        lines.append("the model drawn first failed, and others were asked in its place")
    return Group(Text("\n".join(lines)), _opinions(why), Text(_feedback(why["feedback"])))


def _opinions(why: _Document) -> Table:
    """What each model asked said."""
    table = Table()
    for heading, justify in (("model", "left"), ("weight", "right"), ("asked with", "right"), ("said", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("after", justify="right")
    label = None if why["feedback"] is None else why["feedback"]["label"]
    for model in why["models"]:
        said = model["failure"] or _json(model["output"])
        style = "" if label is None else "green" if same_json(model["output"], label) else "red"
        weight = why["weights"].get(model["model"].rpartition("@")[0])
        after = "" if model["latency_ms"] is None else f"{model['latency_ms']:.1f} ms"
        table.add_row(model["model"], _number(weight), _number(model["propensity"]), Text(said, style), after)
    return table


def _feedback(feedback: _Document | None) -> str:
    if feedback is None:
        return "no feedback yet"
    if feedback["reward"] is not None:
        return f"feedback: reward {feedback['reward']:g}"
    return f"feedback: the right answer is {_json(feedback['label'])}"


def status_view(status: _Document) -> RenderableType:
    """Applications and models, in a table each, and what is wrong with those that something is wrong with."""
    parts: list[RenderableType] = [_apps(status["apps"]), _models(status["models"])]
    for name, app in status["apps"].items():
        if app["weights"]:
            weights = ", ".join(f"{model} {weight:.2f}" for model, weight in app["weights"].items())
            parts.append(Text(f"weights in {name}: {weights}"))
        if not app["ready"]:
            parts.append(Text(f"{name} cannot be answered: {app['why_not']}", "red"))
    for name, model in status["models"].items():
        wrong = [what for what in ("failure", "traceback") if model[what]]
        parts += [Text(f"last {what} of {name}:\n{model[what].rstrip()}") for what in wrong]
    return Group(*parts)


def _apps(apps: _Document) -> Table:
    table = Table("app", "answers", "defaults", "accuracy", "p50 ms", "p99 ms")
    for name, app in apps.items():
        table.add_row(
            name,
            _number(app["answers"], 0),
            _counts(app["defaults"]),
            _number(app["effective_accuracy"], 3),
            _number(app["latency_ms"]["p50"], 1),
            _number(app["latency_ms"]["p99"], 1),
        )
    return table


def _models(models: _Document) -> Table:
    table = Table("model", "version", "replicas", "batch cap", "batch p50", "p99 ms", "errors")
    for name, model in models.items():
        batch = model["batch"] or {}
        table.add_row(
            name,
            str(model["version"]),
            ", ".join(_replica(replica) for replica in model["replicas"].values()),
            _number(batch.get("cap"), 0),
            _number(batch.get("p50"), 0),
            _number(batch.get("p99_ms"), 1),
            _counts(model["errors"]),
        )
    return table


def _replica(replica: _Document) -> str:
    """Its connection's state, or the process's while there is none."""
    return str(replica["connection"] or replica["load"] or replica["process"])


def _counts(counts: _Document | None) -> str:
    """How many of what, without what there is none of."""
    if counts is None:
        return "–"
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "0"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
