"""Personalisation: 168 users in eight groups, each group with a model of its own, and nobody says who is in which.

Each user is a context. What matters is how few feedbacks of a user it takes until that user is served by the right
model, and whether a small group suffers from a large one.

    python -m benchmarks.paper.personalisation [--quick]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from benchmarks.paper.client import Client
from benchmarks.paper.harness import Canvas, Experiment, Figure, Plot, Result, drive, main, started
from benchmarks.paper.models import Expert, Row, declared, row
from benchmarks.report import BenchmarkError, Goal, table
from benchmarks.servers import Skysail

__all__ = ["BLIND", "EXPERIMENT", "KNOWING", "Amount", "goals", "groups", "run"]

GROUPS = 8
"""Groups of users, and models."""

_ACCURACY, _ELSEWHERE = 0.9, 0.45

BLIND = 1.0 - (_ACCURACY + (GROUPS - 1) * _ELSEWHERE) / GROUPS
"""The error of the best model for all users together, where groups are equal: any of the models."""

KNOWING = {4: 0.244, 8: 0.146, 16: 0.105}
"""The error after so many feedbacks of somebody who knows the two rates, and picks the likeliest model for a user."""

_AT_ONCE = 12

_LIMITS = {8: 0.20, 16: 0.13, 24: 0.12}

_METHOD = """\
{users} users in {groups} groups, a model for each: right with probability .90 for its own group and .45 for every
other, independently; models that are wrong say the same, so a vote gains nothing. `skysail serve` with the defaults,
`cache = false`, policy `adahedge` at its defaults, `context` the user. Users take turns, {at_once} at a time: each
sends a query, then their labels are sent in one request, {rounds} times; the error after n feedbacks is that of
everybody's next query, over {seeds} seeds, each an application of its own. `equal`: as many users in each group.
`half`: half of all users in one group, the others, as many in each, are the minority. Group-blind is the best one model
for all."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is run."""

    users: int = 168
    """Users."""

    rounds: int = 25
    """Queries of each user."""

    seeds: int = 20
    """Repetitions."""


def groups(users: int, *, half: bool) -> list[int]:
    """The group of each user: all groups equal, or half of all users in the first.

    >>> groups(16, half=True)
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 1]
    """
    if not half:
        return [user % GROUPS for user in range(users)]
    return [0] * (users // 2) + [1 + user % (GROUPS - 1) for user in range(users - users // 2)]


async def _turns(client: Client, app: str, seed: int, of: Sequence[int], rounds: int) -> list[list[bool]]:
    """For each round and user, whether the answer was wrong."""
    wrong = []
    for turn in range(rounds):
        rows = [row(seed, turn * len(of) + user) | {"group": group} for user, group in enumerate(of)]
        wrong.append([w for first in range(0, len(of), _AT_ONCE) for w in await _ask(client, app, first, rows)])
    return wrong


async def _ask(client: Client, app: str, first: int, rows: Sequence[Row]) -> list[bool]:
    """A query of each of some users, then their labels; which answers were wrong."""
    asked = list(enumerate(rows))[first : first + _AT_ONCE]
    answers = await asyncio.gather(*[client.predict(app, [r], context=f"user-{user}") for user, r in asked])
    said = [
        (answer["prediction_id"], r["label"], answer["output"]) for [answer], (_, r) in zip(answers, asked, strict=True)
    ]
    kept = await client.observe(app, [{"prediction_id": id, "label": label} for id, label, _ in said])
    if kept["accepted"] != len(said):
        raise BenchmarkError(f"{app}: of {len(said)} observations {kept} were kept")
    return [output != label for _, label, output in said]


async def _drive(server: Skysail, amount: Amount) -> dict[str, np.ndarray]:
    """For `equal` and `half`: wrong answers by seed, round and user."""
    kinds = {kind: groups(amount.users, half=kind == "half") for kind in ("equal", "half")}
    async with Client(server.url) as client:
        turns = [
            _turns(client, f"{kind}-{seed}", seed, of, amount.rounds)
            for kind, of in kinds.items()
            for seed in range(amount.seeds)
        ]
        wrong = np.array(await asyncio.gather(*turns))
    return dict(zip(kinds, wrong.reshape(len(kinds), amount.seeds, amount.rounds, amount.users), strict=True))


def _config(amount: Amount) -> tuple[str, str]:
    experts = [
        Expert(name=f"m{group}", accuracy=_ACCURACY, specialist=group, elsewhere=_ELSEWHERE, shared=True)
        for group in range(GROUPS)
    ]
    tables, zoo = declared(experts)
    listed = ", ".join(f'"{expert.name}"' for expert in experts)
    for kind in ("equal", "half"):
        for seed in range(amount.seeds):
            name = f"{kind}-{seed}"
            tables += f'\n[apps.{name}]\nmodels = [{listed}]\npolicy = "adahedge"\nslo = "10s"\ncache = false\n'
    return tables, zoo


def goals(equal: Mapping[int, float], minority: Mapping[int, float]) -> list[Goal]:
    """What the errors after so many feedbacks are held to."""
    return [
        Goal(what="error after 1 feedback of each user (group-blind: the limit)", value=equal[1], limit=BLIND),
        *[Goal(what=f"error after {n}", value=equal[n], limit=limit) for n, limit in _LIMITS.items() if n in equal],
        *[Goal(what=f"the minority's error after {n}, with half of all users in one group", value=minority[n],
               limit=limit) for n, limit in _LIMITS.items() if n in minority],
    ]  # fmt: skip


def _run(quick: bool) -> Result:
    return run(Amount(rounds=9, seeds=2) if quick else Amount())


def run(amount: Amount) -> Result:
    """The experiment at a given size."""
    config, zoo = _config(amount)
    with started(config, {"zoo.py": zoo}) as server:
        found = drive(_drive(server, amount))
        late = sum(app["contexts"]["put_off"] for app in server.status()["apps"].values())
    few = np.array(groups(amount.users, half=True)) != 0
    errors = {
        "equal": _by_round(found["equal"]),
        "half: all": _by_round(found["half"]),
        "half: minority": _by_round(found["half"][:, :, few]),
    }
    shown = [n for n in (0, 1, 2, 4, 8, 16, 24) if n < amount.rounds]
    rows = [[kind, *[f"{of[n]:.3f}" for n in shown]] for kind, of in errors.items()]
    rows.append(["knowing the rates", *[f"{KNOWING[n]:.3f}" if n in KNOWING else "–" for n in shown]])
    sizes = {"users": amount.users, "rounds": amount.rounds, "seeds": amount.seeds}
    equal, minority = (
        {n: errors[kind][n] for n in (1, *_LIMITS) if n in shown} for kind in ("equal", "half: minority")
    )
    return Result(
        title=f"Personalisation: {amount.users} users in {GROUPS} groups, a context for each",
        method=_METHOD.format(groups=GROUPS, at_once=_AT_ONCE, **sizes),
        lines=[
            *table(["error after n feedbacks", *map(str, shown)], rows),
            f"\nQueries that met their context as it was a feedback ago (over the budget of reads): {late:,}",
        ],
        data={"errors": errors, "blind": BLIND, "seeds": amount.seeds, "put_off": late},
        goals=goals(equal, minority),
        figures=_figures(errors["equal"]),
        plot=_plot(errors),
    )


def _by_round(wrong: np.ndarray) -> list[float]:
    """The share of wrong answers in each round."""
    shares: list[float] = wrong.mean(axis=(0, 2)).tolist()
    return shares


def _figures(errors: Sequence[float]) -> list[Figure]:
    """The paper's users were speakers of 168 recordings of TIMIT, its models those of dialects: another task."""
    return [
        Figure(what="error, the same model for all (TIMIT; ours: another task)", published=".362", ours=f"{BLIND:.3f}"),
        Figure(what="error after 1 feedback, less that", published="−.050", ours=f"{errors[1] - BLIND:+.3f}"),
        *[Figure(what="error after 8 feedbacks, less that", published="−.062", ours=f"{mean(errors[8:9]) - BLIND:+.3f}")
          for _ in errors[8:9]],
    ]  # fmt: skip


def _plot(errors: Mapping[str, Sequence[float]]) -> Plot:
    """Error by feedbacks."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for kind, of in errors.items():
            axes.plot(of, label=kind)
        axes.plot(list(KNOWING), list(KNOWING.values()), "ko", label="knowing the rates, best single pick")
        axes.axhline(BLIND, color="grey", linestyle="--", label="group-blind best")
        axes.axhline(1.0 - _ACCURACY, color="grey", linestyle=":", label="each group's best")
        axes.set(xlabel="feedbacks of each user", ylabel="error", ylim=(0.0, 0.65))
        axes.legend()

    return draw


EXPERIMENT = Experiment(name="personalisation", run=_run)

if __name__ == "__main__":
    sys.exit(main([EXPERIMENT]))
