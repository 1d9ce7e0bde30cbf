"""What contexts cost when they are many: the file, memory, a lookup beside a busy event loop, and how soon feedback is
seen.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter

import httpx
import msgspec
import uvloop
from benchmarks.machine import MIB, memory_bytes
from benchmarks.report import BenchmarkError, Goal, Report, spread, table
from benchmarks.servers import start_skysail

from skysail.clock import SystemClock
from skysail.config.schema import LedgerConfig
from skysail.errors import StoreError
from skysail.feedback.ledger import Ledger
from skysail.feedback.reads import Reads
from skysail.feedback.states import CONTEXTS, States
from skysail.ids import IdSource
from skysail.selection.adahedge import AdaHedge
from skysail.selection.contexts import blend
from skysail.stats.application import ApplicationCounters
from skysail.stores.base import Add, ObservationWrite, Writes
from skysail.stores.sqlite import SQLiteStore
from skysail.types import Decision, Distribution, Observation, State

__all__ = ["Lookups", "measure_contexts", "quantile", "seen_after"]

_MODELS = ("svm", "mlp", "forest", "logistic", "centroid")
_POLICY = AdaHedge()
_AT_ONCE = 2_000
_WAITING = 1_000
_FEEDBACK = 500
_WARM_MS, _COLD_MS, _SEEN_MS = 0.2, 2.0, 50.0
_MEMORY_MIB = 96.0
_BODY = msgspec.json.encode([n / 64 for n in range(64)])

_METHOD = """\
{contexts:,} contexts of one application with five models, policy `adahedge`, in one SQLite file, written by additions
as feedback writes them, {at_once:,} to a transaction. Lookups are `States.view` of a random context, one in each turn
of an event loop (uvloop) that never rests: a turn also reads eight bodies of 64 floats and records a decision, and
{feedback} times a second a random context is given feedback, which another thread commits. Warm: the context is in
memory, as are the {held:,} used last, at most; cold: it is not, and is read from the file, which the system has in its
cache; from disk: nor has the system (as far as it does what it is told). "No lookup" is some 15 µs of arithmetic in
their place: what the machine and the other thread do to any line of code. Memory is this process's resident set. Seen:
from the reply to an observation to the first answer of a real server that shows it, over one HTTP connection."""


@dataclass(kw_only=True)
class Lookups:
    """How long lookups of one kind took, in seconds."""

    kind: str
    """No lookup, warm, cold or from disk."""

    seconds: list[float] = field(default_factory=list)
    """Each of them."""

    put_off: int = 0
    """Those that found the turn's budget spent, and were served from the state of all."""

    def ms(self, q: float) -> float:
        """A quantile, in milliseconds."""
        return quantile(self.seconds, q) * 1e3

    def row(self) -> list[str]:
        """The line of a table."""
        return [
            self.kind,
            f"{len(self.seconds):,}",
            *[f"{self.ms(q):.3f}" for q in (0.5, 0.99, 1.0)],
            f"{self.put_off:,}",
        ]


def quantile(values: Sequence[float], q: float) -> float:
    """The least value that a share q of all does not exceed.

    >>> quantile([3.0, 1.0, 2.0, 4.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(q * 1_000) // 1_000) - 1)]


def measure_contexts(contexts: int, lookups: int) -> Report:
    """The file and memory of so many contexts, so many lookups of each kind, and a server's feedback."""
    with tempfile.TemporaryDirectory(prefix="skysail-contexts-") as folder:
        store = SQLiteStore(Path(folder, "state.db"))
        store.open()
        try:
            idle = memory_bytes(os.getpid())
            seconds = _fill(store, contexts)
            store.close()
            store.open()
            filled = memory_bytes(os.getpid())
            size = store.path.stat().st_size
            found = uvloop.run(_look_up(store, contexts, lookups))
            most = memory_bytes(os.getpid())
        finally:
            store.close()
    seen, answers = _seen()
    lines = [
        f"file: {size / MIB:,.1f} MiB, {size / contexts:,.0f} bytes a context, written at {contexts / seconds:,.0f}/s",
        f"memory: {idle / MIB:.0f} MiB, {filled / MIB:.0f} with the file written, {most / MIB:.0f} after the lookups",
        f"feedback: seen by answer {max(answers)} at the latest, after {spread([s * 1e3 for s in seen], 1)} ms",
    ]
    columns = ["lookups, ms", "number", "p50", "p99", "greatest", "put off"]
    return Report(
        title="Contexts",
        method=_METHOD.format(contexts=contexts, at_once=_AT_ONCE, held=CONTEXTS, feedback=_FEEDBACK),
        lines=[*table(columns, [it.row() for it in found]), "", *lines, ""],
        data={
            "contexts": contexts,
            "file_bytes": size,
            "write_seconds": seconds,
            "memory_bytes": {"idle": idle, "written": filled, "after": most},
            "lookups_ms": {it.kind: {"p50": it.ms(0.5), "p99": it.ms(0.99), "put_off": it.put_off} for it in found},
            "seen_ms": [it * 1e3 for it in seen],
            "seen_by_answer": answers,
        },
        goals=[
            *[
                Goal(what=f"{it.kind}, p99", value=it.ms(0.99), limit=limit, unit="ms")
                for it, limit in zip(found[1:], (_WARM_MS, _COLD_MS, _COLD_MS), strict=True)
            ],
            Goal(what="memory for contexts and ledger", value=(most - filled) / MIB, limit=_MEMORY_MIB, unit="MiB"),
            Goal(what="feedback seen", value=max(seen) * 1e3, limit=_SEEN_MS, unit="ms"),
        ],
    )


def _name(number: int) -> str:
    return f"user {number}"


def _delta(rng: Random) -> State:
    """What one feedback adds."""
    return State(1.0, {model: (1.0, rng.random(), rng.random()) for model in _MODELS}, (rng.random(),))


def _states(store: SQLiteStore, reads: Reads, counters: ApplicationCounters) -> States:
    return States("bench", _POLICY, store, blend, reads=reads, counters=counters)


def _fill(store: SQLiteStore, contexts: int) -> float:
    """Write so many contexts; how long it took."""
    rng, loop = Random(1), asyncio.new_event_loop()
    states = _states(store, Reads(loop, SystemClock()), ApplicationCounters())
    loop.close()
    started = perf_counter()
    for first in range(0, contexts, _AT_ONCE):
        adds: list[Add] = []
        for number in range(first, min(contexts, first + _AT_ONCE)):
            adds += states.adds(_delta(rng), _name(number), _MODELS)
        observation = Observation(f"00-000000-{first:08x}", b"1", None, time.time())
        store.write(Writes(observations=[ObservationWrite(observation, tuple(adds))]))
    return perf_counter() - started


async def _look_up(store: SQLiteStore, contexts: int, lookups: int) -> list[Lookups]:
    """Warm lookups, cold ones, and those from disk, each beside a loop that never rests."""
    rng, clock, loop = Random(2), SystemClock(), asyncio.get_running_loop()
    counters, reads = ApplicationCounters(), Reads(loop, clock)
    async with Ledger(store, clock, LedgerConfig()) as ledger:
        busy = _Busy(ledger, _states(store, reads, counters), contexts)
        busy.begin()
        known = [_name(rng.randrange(contexts)) for _ in range(min(lookups, CONTEXTS // 2))]
        found = [await _nothing(lookups)]
        await _each(known, busy.states, counters, "before")
        found.append(await _each([rng.choice(known) for _ in range(lookups)], busy.states, counters, "warm"))
        for kind in ("cold", "from disk"):
            busy.states = _states(store, reads, counters)
            if kind == "from disk":
                _drop(store.path)
            names = [_name(number) for number in rng.sample(range(contexts), min(lookups, contexts))]
            found.append(await _each(names, busy.states, counters, kind))
        busy.end()
    if busy.failed is not None:
        raise BenchmarkError(f"feedback beside the lookups failed: {busy.failed}")
    return found


async def _each(names: Sequence[str], states: States, counters: ApplicationCounters, kind: str) -> Lookups:
    """Look these contexts up, one in each turn of the loop."""
    found = Lookups(kind=kind)
    put_off = counters.contexts_put_off
    for name in names:
        started = perf_counter()
        states.view(name, _MODELS)
        found.seconds.append(perf_counter() - started)
        await asyncio.sleep(0)
    found.put_off = counters.contexts_put_off - put_off
    return found


async def _nothing(lookups: int) -> Lookups:
    """As many times nothing, one in each turn."""
    found = Lookups(kind="no lookup")
    for _ in range(lookups):
        started = perf_counter()
        sum(range(1_000))
        found.seconds.append(perf_counter() - started)
        await asyncio.sleep(0)
    return found


class _Busy:
    """Everything else that a frontend's loop does."""

    def __init__(self, ledger: Ledger, states: States, contexts: int) -> None:
        self.states = states
        self.failed: StoreError | None = None
        self._ledger = ledger
        self._contexts = contexts
        self._rng = Random(3)
        self._ids = IdSource(0, ledger.boot)
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._next = 0.0
        self._ended = False

    def begin(self) -> None:
        """Begin a turn that begins the next."""
        if not self._ended:
            self._loop.call_soon(self.begin)
            for _ in range(8):
                msgspec.json.decode(_BODY)
            decision = self._decide()
            if perf_counter() >= self._next and self._waiting < _WAITING:
                self._next = perf_counter() + 1 / _FEEDBACK
                self._feed(decision)

    def end(self) -> None:
        """No more turns."""
        self._ended = True

    def _decide(self) -> Decision:
        context, weights = _name(self._rng.randrange(self._contexts)), (0.2,) * len(_MODELS)
        decision = Decision(
            id=self._ids.next(),
            app="bench",
            policy=_POLICY.name,
            context=context,
            time=time.time(),
            digest=b"0123456789abcdef",
            distribution=Distribution(_MODELS, weights, 0.5),
            asked=[f"{model}@1" for model in _MODELS],
            propensities=(1.0,) * len(_MODELS),
            outputs=[b"1"] * len(_MODELS),
            failures=[None] * len(_MODELS),
            latencies=[1.0] * len(_MODELS),
            answer=b"1",
            confidence=1.0,
            agreement=1.0,
            default=False,
            reason=None,
            fallback=False,
            latency=1.0,
        )
        self._ledger.record(decision)
        return decision

    def _feed(self, decision: Decision) -> None:
        """Feedback on a decision."""
        states, context = self.states, decision.context
        adds = states.adds(_delta(self._rng), context, _MODELS)
        self._waiting += 1

        def written(outcome: bool | StoreError, made: Mapping[str, State]) -> None:
            self._waiting -= 1
            if isinstance(outcome, StoreError):
                self.failed = outcome
            states.applied(made, context)

        self._ledger.observe(ObservationWrite(Observation(decision.id, b"1", None, time.time()), adds), written)


def _drop(path: Path) -> None:
    """Ask the system to forget what it has of a file; where it cannot be asked, it keeps it."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seen(rounds: int = 50) -> tuple[list[float], list[int]]:
    """Seconds from the reply to an observation to the answer that shows it, and which answer that was."""
    with start_skysail() as server, httpx.Client(timeout=10.0) as client:
        observe = f"{server.url.removesuffix('predict')}observe"

        def ask(context: str) -> tuple[str, object]:
            answer = client.post(server.url, json={"input": [0.5], "context": context}).raise_for_status().json()
            return answer["prediction_id"], answer["confidence"]

        def tell(id: str, label: int) -> None:
            client.post(observe, json={"prediction_id": id, "label": label}).raise_for_status()

        found = [seen_after(ask, tell, _name(n), n % 2) for n in range(rounds)]
    return [seconds for seconds, _ in found], [number for _, number in found]


def seen_after(
    ask: Callable[[str], tuple[str, object]],
    tell: Callable[[str, int], None],
    context: str,
    label: int,
    most: int = 100,
) -> tuple[float, int]:
    """Seconds from the end of `tell` to the answer in which the confidence is another, and which answer that was.

    Labels are right and wrong in turn, so that every feedback moves the estimate of a context that had none.
    """
    id, before = ask(context)
    tell(id, label)
    told = perf_counter()
    for number in range(1, most + 1):
        if ask(context)[1] != before:
            return perf_counter() - told, number
    raise BenchmarkError(f"feedback was not seen in {most} answers")
