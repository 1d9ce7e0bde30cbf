"""The calibrated confidence of one application: what is known of it, kept in the store like any state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import msgspec

from skysail.errors import StoreError
from skysail.feedback.reads import Reads
from skysail.feedback.states import state_key
from skysail.selection.base import Outputs
from skysail.selection.conformal import Conformal, Known, Tally
from skysail.stores.base import Add, Store
from skysail.types import Answer, Cover, Decision, Distribution, Observation, State

__all__ = ["Calibration"]

_NEW = 0.1
"""How much of the lag of feedback, as it is estimated, is that of the last."""


class Calibration:
    """Says what holds the label of each query, and learns from labels how much is enough.

    The store is the truth, as for `States`: what is in memory was read from it, and is replaced by what each
    transaction made, or read anew where another frontend has made it. Another policy, kind of output or target has its
    own keys, and so begins anew. `run` is how the ids of this run's decisions begin, `frontends` how many there are.
    """

    def __init__(
        self,
        app: str,
        policy: str,
        conformal: Conformal,
        store: Store,
        reads: Reads,
        *,
        run: str = "",
        frontends: int = 1,
    ) -> None:
        self.policy = policy
        self.conformal = conformal
        self._run = run
        self._frontends = frontends
        self._store = store
        self._reads = reads
        place = partial(state_key, app, f"{policy}+conformal")
        self._total = place(f"{conformal.kind.name} {conformal.target:g}")
        self._table = place(conformal.kind.name)
        self._states: tuple[State, State] | None = None
        self._fresh = False
        self._known: Known | None = None
        self._given = 0
        self._lag: float | None = None

    @property
    def nothing(self) -> Cover:
        """What is said where no model answered."""
        return Cover(self.conformal.kind.name, None, ())

    def cover(self, answer: Answer, outputs: Outputs, trust: Distribution, draw: float) -> Cover:
        """What is said to hold the label of a query. `draw` is its uniform number.

        γ is divided by 1 + γ · lag, where the lag is how many more queries are answered until an answer's label comes:
        what has been corrected, but cannot show yet, must not be corrected again by each label that comes meanwhile.
        """
        self._given += 1
        rate = self.conformal.rate
        if self._lag is not None:
            rate /= 1.0 + rate * self._lag * self._frontends  # each answers about as many
        other = draw * 1e6 % 1.0  # of the same draw, digits that no policy has used
        return self._now().cover(answer, outputs, trust, draw=other, rate=rate, order=self._given)

    def adds(self, decision: Decision, observation: Observation) -> tuple[Add, ...]:
        """The additions of one feedback; none for a reward, which does not tell the label."""
        cover = decision.cover
        if cover is None or observation.label is None or decision.policy != self.policy:
            return ()
        deltas = self.conformal.learn(cover, msgspec.json.decode(observation.label))
        if deltas is None:
            return ()
        lag = self._given - cover.order
        if lag >= 0 and decision.id.startswith(self._run):  # else it is of an earlier run, or of another frontend
            self._lag = lag if self._lag is None else self._lag + _NEW * (lag - self._lag)
        return Add(self._total, deltas[0], 1.0), Add(self._table, deltas[1], self.conformal.forget)

    def applied(self, states: Mapping[str, State]) -> None:
        """Feedback has been committed, by a transaction that made these states."""
        if self._states is not None:
            total, table = self._states
            self._states = states.get(self._total, total), states.get(self._table, table)
            self._known = None

    def changed(self, keys: Collection[str]) -> None:
        """Others have added to the states of these keys."""
        if self._total in keys or self._table in keys:
            self.outdated()

    def outdated(self) -> None:
        """Others may have added to what is known: it is read anew."""
        self._fresh = False
        self._known = None

    def tally(self) -> Tally:
        """How what was said turned out so far."""
        return self._now().tally()

    def _now(self) -> Known:
        if self._known is None:
            if not self._fresh:
                self._reads.run(self._read)
            known = Known(self.conformal, *(self._states or (State(), State())))
            if not self._fresh:
                return known
            self._known = known
        return self._known

    def _read(self) -> None:
        """Read the total and the table; where they cannot be read, they stay as they were until the next query."""
        try:
            states = self._store.get(self._total) or State(), self._store.get(self._table) or State()
        except StoreError:
            return
        self._states, self._fresh = states, True
