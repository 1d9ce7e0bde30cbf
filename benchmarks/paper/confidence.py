"""Confidence: how much wronger are answers that models disagree about, and do calibrated sets hold through a drift?

    python -m benchmarks.paper.confidence [--quick]

Clipper showed the first, as the share of models that agree; calibrated sets are ours.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, curve, drive, main, started
from benchmarks.paper.trained import (
    DATA,
    FIVE,
    Split,
    ask_and_tell,
    five,
    halves,
    model_tables,
    replay,
    split_of_five,
    train,
)
from benchmarks.report import Goal, table
from benchmarks.servers import Skysail

__all__ = ["EXPERIMENT", "Agreement", "Stream", "agreement", "held", "size"]

_SPLITS, _QUICK_SPLITS = 20, 4

_TARGET = 0.9
_PHASES = {"calm": 1.2, "drift": 1.8, "calm again": 1.2}
"""Noise on each value, in its standard deviations."""

_STREAMS, _QUICK_STREAMS = 4, 2
_PASSES, _QUICK_PASSES = 3, 1
"""How often each phase asks about every row, each time with other noise."""

_WINDOW = 200

_KINDS = {
    "adaptive": f'{{ method = "conformal", target = {_TARGET} }}',
    "fixed": f'{{ method = "conformal", target = {_TARGET}, rate = 0.0, forget = 1.0 }}',
}
"""The setting as it is by default, and one that neither corrects itself nor forgets."""

_METHOD = """\
Agreement: the five models, splits and replaying workers of `ensembles`; each split is an application under `adahedge`,
with feedback after every ten answers. Answers all five models agree with are counted apart from all others.
Calibration: the five models, trained on half of the digits as they are, are asked about the other half with noise on
each value: of {calm} of its standard deviations, then {drift}, then {calm} again, {rows:,} queries each, in {streams}
streams, with feedback after every ten answers. So even the calm answers are right less often than the target, and sets
have something to do, for each holds its answer at least. `confidence = {{ method = "conformal", target = {target} }}`;
beside it the same with `rate = 0` and `forget = 1`, which neither corrects itself nor forgets. A set holds the label if
the label is in it, or if it says that the label may be anything. Coverage counts from the first set; the windows of the
plot are of {window} queries."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Errors by whether all models agreed with the answer."""

    rows: int
    errors: int
    agreed: int
    agreed_errors: int

    @property
    def rate(self) -> float:
        """Errors of all."""
        return self.errors / self.rows

    @property
    def sure(self) -> float:
        """Errors of those that all models agreed with."""
        return self.agreed_errors / self.agreed

    @property
    def unsure(self) -> float:
        """Errors of the others."""
        return (self.errors - self.agreed_errors) / (self.rows - self.agreed)


def agreement(judged: Sequence[tuple[float, bool]]) -> Agreement:
    """Of answers, each with its agreement and whether it was wrong."""
    agreed = [wrong for share, wrong in judged if share == 1.0]
    return Agreement(
        rows=len(judged), errors=sum(wrong for _, wrong in judged), agreed=len(agreed), agreed_errors=sum(agreed)
    )


def held(answer: dict[str, Any], label: int) -> bool | None:
    """Whether an answer's set holds the label; `None` where there is no set yet."""
    return None if answer["confidence"] is None else answer["set"] is None or label in answer["set"]


def size(answer: dict[str, Any]) -> int | None:
    """How many labels an answer's set has, 0 where it may be anything; `None` where there is no set yet."""
    return None if answer["confidence"] is None else len(answer["set"] or ())


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The sets of one stream, query by query."""

    held: list[bool | None]
    sizes: list[int | None]
    right: list[bool]


def _run(quick: bool) -> Result:
    splits = {data: [split_of_five(data, seed) for seed in range(_QUICK_SPLITS if quick else _SPLITS)] for data in DATA}
    passes = _QUICK_PASSES if quick else _PASSES
    noisy = [_noisy(seed, passes) for seed in range(_QUICK_STREAMS if quick else _STREAMS)]
    plain = [split for some in splits.values() for split in some]
    apps = [_app(split.name, '"adahedge"') for split in plain]
    apps += [_app(f"{kind}.{s.name}", '"adahedge"', setting) for kind, setting in _KINDS.items() for s in noisy]
    with started(model_tables(FIVE) + "".join(apps), replay([*plain, *noisy])) as server:
        agreed = {data: agreement(drive(_agree(server, some))) for data, some in splits.items()}
        streams = {kind: drive(_sets(server, kind, noisy)) for kind in _KINDS}
    return _result(agreed, streams, len(noisy[0].labels))


def _app(name: str, policy: str, confidence: str = "") -> str:
    setting = f"confidence = {confidence}\n" if confidence else ""
    return f'[apps."{name}"]\nmodels = {list(FIVE)}\npolicy = {policy}\nslo = "30s"\n{setting}\n'


def _noisy(seed: int, passes: int) -> Split:
    """What the five say of rows with the noise of each phase in turn."""
    half = halves("digits", seed)
    models, spread = train(five(seed), half), half.train.std(axis=0)
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(half.test)) for _ in _PHASES for _ in range(passes)])
    strength = np.repeat(list(_PHASES.values()), len(half.test) * passes)[:, None]
    rows = half.test[order] + rng.normal(size=(len(order), half.test.shape[1])) * spread * strength
    said = {name: model.predict(rows).tolist() for name, model in models.items()}
    return Split(name=f"noisy-{seed}", labels=half.test_labels[order].tolist(), said=said)


async def _agree(server: Skysail, splits: Sequence[Split]) -> list[tuple[float, bool]]:
    async with Client(server.url) as client:
        found = await asyncio.gather(*[ask_and_tell(client, split.name, split) for split in splits])
    return [
        (answer["agreement"], answer["output"] != label)
        for split, answers in zip(splits, found, strict=True)
        for answer, label in zip(answers, split.labels, strict=True)
    ]


async def _sets(server: Skysail, kind: str, splits: Sequence[Split]) -> list[Stream]:
    async with Client(server.url) as client:
        found = await asyncio.gather(*[ask_and_tell(client, f"{kind}.{split.name}", split) for split in splits])
    return [_stream(split, answers) for split, answers in zip(splits, found, strict=True)]


def _stream(split: Split, answers: Sequence[dict[str, Any]]) -> Stream:
    return Stream(
        held=[held(answer, label) for answer, label in zip(answers, split.labels, strict=True)],
        sizes=[size(answer) for answer in answers],
        right=[answer["output"] == label for answer, label in zip(answers, split.labels, strict=True)],
    )


def _share(streams: Sequence[Stream], start: int, stop: int) -> float:
    """The coverage of the sets of all streams between two queries."""
    found = [one for stream in streams for one in stream.held[start:stop] if one is not None]
    return mean(found) if found else float("nan")


def _phases(streams: Sequence[Stream], length: int) -> dict[str, dict[str, float]]:
    """What became of the sets in each phase, and over all of them."""
    phase = length // len(_PHASES)
    bounds = {name: (place * phase, (place + 1) * phase) for place, name in enumerate(_PHASES)} | {"all": (0, length)}
    found = {}
    for name, (start, stop) in bounds.items():
        sizes = [one for stream in streams for one in stream.sizes[start:stop] if one is not None]
        found[name] = {
            "coverage": _share(streams, start, stop),
            "right": mean(one for stream in streams for one in stream.right[start:stop]),
            "size": mean(one for one in sizes if one),
            "anything": mean(one == 0 for one in sizes),
        }
    return found


def _result(agreed: dict[str, Agreement], streams: dict[str, list[Stream]], length: int) -> Result:
    both = Agreement(**{
        field: sum(getattr(one, field) for one in agreed.values())
        for field in ("rows", "errors", "agreed", "agreed_errors")
    })  # fmt: skip
    phases = {kind: _phases(some, length) for kind, some in streams.items()}
    return Result(
        title="Confidence: agreement, and calibrated sets through a drift",
        method=_METHOD.format(
            calm=_PHASES["calm"], drift=_PHASES["drift"], rows=length // len(_PHASES),
            streams=len(streams["adaptive"]), target=_TARGET, window=_WINDOW,
        ),
        lines=[*_agreement_table(agreed | {"both": both}), "", *_phases_table(phases)],
        data={
            "agreement": {name: vars(one) for name, one in agreed.items()},
            "phases": phases,
            "coverage": {kind: curve(_moving(some, length)) for kind, some in streams.items()},
        },
        goals=_goals(both, phases["adaptive"]),
        figures=_figures(both),
        plot=_plot(agreed | {"both": both}, streams, length),
    )  # fmt: skip


def _agreement_table(agreed: dict[str, Agreement]) -> list[str]:
    rows = []
    for name, one in agreed.items():
        rates = (one.rate, one.sure, one.agreed / one.rows, one.unsure)
        rows.append((name, f"{one.rows:,}", *[f"{rate:.2%}" for rate in rates]))
    return table(["errors of", "rows", "all answers", "all five agree", "on", "the others"], rows)


def _phases_table(phases: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    rows = []
    for kind, found in phases.items():
        for name, one in found.items():
            numbers = [f"{one[what]:.3f}" for what in ("coverage", "right", "size", "anything")]
            rows.append((f"{kind}, {name}", *numbers))
    return table(["sets", "coverage", "answers right", "labels in a set", "may be anything"], rows)


def _goals(both: Agreement, phases: dict[str, dict[str, float]]) -> list[Goal]:
    off = {name: 100 * abs(one["coverage"] - _TARGET) for name, one in phases.items()}
    return [
        Goal(what="errors where all five agree, to those of all", value=both.sure / both.rate, limit=0.5),
        Goal(what="errors of the others, to those of all", value=both.unsure / both.rate, limit=2.0, least=True),
        *[Goal(what=f"coverage off its target, {name}", value=value, limit=2.0, unit="points")
          for name, value in off.items()],
    ]  # fmt: skip


def _figures(both: Agreement) -> list[Figure]:
    return [
        Figure(what="errors of the ensemble", published="5.86 % (ImageNet), 8.45 % (CIFAR-10)",
               ours=f"{both.rate:.2%}"),
        Figure(what="where all five agree", published="3.27 % on 84.4 %, 2.35 % on 40.5 %",
               ours=f"{both.sure:.2%} on {both.agreed / both.rows:.1%}"),
        Figure(what="of the others", published="19.8 %, 12.6 %", ours=f"{both.unsure:.1%}"),
    ]  # fmt: skip


def _moving(streams: Sequence[Stream], length: int) -> list[float]:
    """The coverage of the last window of queries, at each query from the first whole window on."""
    held_by = [[float("nan") if one is None else float(one) for one in stream.held] for stream in streams]
    means = np.nanmean(np.array(held_by)[:, _first(streams) :], axis=0)
    moving: list[float] = np.convolve(means, np.ones(_WINDOW) / _WINDOW, "valid").tolist()
    return moving


def _first(streams: Sequence[Stream]) -> int:
    """The first query at which every stream has a set."""
    return max(next(place for place, one in enumerate(stream.held) if one is not None) for stream in streams)


def _plot(agreed: dict[str, Agreement], streams: dict[str, list[Stream]], length: int) -> Plot:
    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, width_ratios=[2, 3])
        for offset, (label, of) in enumerate(
            {"all answers": "rate", "all five agree": "sure", "the others": "unsure"}.items()
        ):
            places = [place + 0.27 * (offset - 1) for place in range(len(agreed))]
            left.bar(places, [100 * getattr(one, of) for one in agreed.values()], width=0.25, label=label)
        left.set_xticks(range(len(agreed)), list(agreed))
        left.set(yscale="log", ylabel="errors, %", ylim=(0.3, 150))
        left.legend()
        for kind, some in streams.items():
            moving = _moving(some, length)
            right.plot(range(length - len(moving), length), moving, label=kind)
        phase = length // len(_PHASES)
        right.axvspan(phase, 2 * phase, color="tab:red", alpha=0.1)
        right.axhline(_TARGET, color="black", linestyle="--", label="target")
        right.set(xlabel="queries; shaded: more noise", ylabel=f"coverage of the last {_WINDOW}")
        right.legend()

    return draw


EXPERIMENT = Experiment(name="confidence", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
