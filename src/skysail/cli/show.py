"""The server's documents as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    held = prediction.set if prediction.interval is None else prediction.interval
    facts = {
        "from": origin,
        **({} if held is None else {"held by": _json(held)}),
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
        *_held(why["conformal"]),
        *_remarks(why),
    ]
    return Group(Text("\n".join(lines)), _opinions(why), Text("\n".join(_feedback(why))))


def _held(conformal: _Document | None) -> Iterator[str]:
    """What was said to hold the label, and whether it did."""
    if conformal is None:
        return
    if conformal["level"] is None:
        yield "too few labels had come by then to say what holds the label"
        return
    held = conformal["set"] if conformal["interval"] is None else conformal["interval"]
    said = "the label might be anything" if held is None else f"the label should be in {_json(held)}"
    turned = {None: "", True: ", and was", False: ", and was not"}[conformal["covered"]]
    level, own = _number(conformal["level"]), _number(conformal["policy_confidence"])
    yield f"{said}{turned} (at level {level}; the policy's own confidence is {own})"


def _remarks(why: _Document) -> Iterator[str]:
    """What was out of the ordinary."""
    first, *others = [model["model"] for model in why["models"]] or [""]
    if why["policy_raised"]:
        yield f"the policy raised in {why['policy_raised']} and was stood in for: see `skysail status`"
    for model, wait in why["left_out"].items():
        known = "it was busy, and not known yet" if wait is None else f"it would have taken {wait:.0f} ms"
        yield f"{model} was left out, for {known}"
    if why["hedge"]:
        other = "a second replica" if why["hedge"] == "replica" else others[0]
        yield f"{first} took longer than it nearly ever does, so {other} was asked too"
    elif why["fallback"]:
        yield "the model drawn first failed, and others were asked in its place"


def _opinions(why: _Document) -> Table:
    """What each model said; and which others could have been asked."""
    table = Table()
    for heading in ("model", "weight", "asked with", "said", "after", "loss"):
        table.add_column(heading, justify="left" if heading in ("model", "said") else "right")
    label = None if why["feedback"] is None else why["feedback"]["label"]
    names = [model["model"].rpartition("@")[0] for model in why["models"]]
    for name, model in zip(names, why["models"], strict=True):
        style = "" if label is None else "green" if same_json(model["output"], label) else "red"
        after = "" if model["latency_ms"] is None else f"{model['latency_ms']:.1f} ms"
        asked = _number(model["propensity"]) if model["asked"] == "picked" else model["asked"]
        loss = "" if model["loss"] is None else _number(model["loss"])
        table.add_row(model["model"], _weight(why, name), asked, Text(_said(model), style), after, loss)
    for name in why["weights"]:
        if name not in names:
            table.add_row(name, _weight(why, name), "not asked", "", "", "")
    return table


def _said(model: _Document) -> str:
    """A model's output, or why there is none."""
    said = model["failure"] or _json(model["output"])
    if model["late"]:
        said += ", too late"
    return said if model["mean"] is None else f"{said}; its mean, {_json(model['mean'])}, stood in"


def _weight(why: _Document, name: str) -> str:
    """A model's weight then, and what it has become if that is another."""
    then, now = _number(why["weights"].get(name)), _number((why["weights_now"] or {}).get(name))
    return then if now in (then, "–") else f"{then} → {now}"


def _feedback(why: _Document) -> Iterator[str]:
    feedback = why["feedback"]
    if feedback is None:
        yield "no feedback yet"
    elif feedback["reward"] is not None:
        yield f"feedback: reward {feedback['reward']:g}"
    else:
        yield f"feedback: the right answer is {_json(feedback['label'])}"
    if why["weights_now"] is None:
        yield "the application has another policy by now, or is gone: what was learned then is not in use"


def status_view(status: _Document) -> RenderableType:
    """Applications and models, in a table each, and what is wrong with those that something is wrong with."""
    parts: list[RenderableType] = [_apps(status["apps"]), _models(status["models"])]
    for name, app in status["apps"].items():
        if app["weights"]:
            weights = ", ".join(f"{model} {weight:.2f}" for model, weight in app["weights"].items())
            parts.append(Text(f"weights in {name}: {weights}"))
        if app["conformal"]:
            parts.append(Text(f"confidence in {name}: {_conformal(app['conformal'])}"))
        if not app["ready"]:
            parts.append(Text(f"{name} cannot be answered: {app['why_not']}", "red"))
        if app["policy_failures"]:
            raised = f"the policy of {name} raised {app['policy_failures']} times, and is stood in for; the last time:"
            parts.append(Text(f"{raised}\n{app['policy_traceback'].rstrip()}", "red"))
    for name, model in status["models"].items():
        wrong = [what for what in ("failure", "traceback") if model[what]]
        parts += [Text(f"last {what} of {name}:\n{model[what].rstrip()}") for what in wrong]
    return Group(*parts)


def _conformal(tally: _Document) -> str:
    """How many labels were held, of how many that should be."""
    coverage, recent, size = (_number(tally[key], 3) for key in ("coverage", "recent", "size"))
    return f"held {coverage} of the labels ({recent} of late), to hold {tally['target']:g}; mean size {size}"


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
    table = Table("model", "version", "accuracy", "replicas", "batch cap", "batch p50", "p99 ms", "errors")
    for name, model in models.items():
        batch = model["batch"] or {}
        table.add_row(
            name,
            str(model["version"]),
            _number(model["effective_accuracy"], 3),
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
