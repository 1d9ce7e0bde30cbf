"""What the policy of an application has learned, as its policy sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote

from skysail.errors import StoreError
from skysail.feedback.ledger import Ledger
from skysail.feedback.recent import Recent
from skysail.selection.base import Policy
from skysail.stores.base import Add, Seed, Store
from skysail.types import State

__all__ = ["Blend", "States", "state_key"]

Blend = Callable[[State | None, State], State]
"""Makes what the policy sees in a context, of that context's own state (if it has one) and everybody's."""


def state_key(app: str, policy: str, context: str | None) -> str:
    """Where the store keeps a state: that of all contexts together for `None`.

    >>> state_key("digits", "adahedge", None), state_key("digits", "adahedge", "a/b é")
    ('digits/adahedge/', 'digits/adahedge/a%2Fb%20%C3%A9')
    """
    return f"{app}/{policy}/" + ("" if context is None else quote(context, safe=""))


class _Held:
    """A state in memory; `stale` when the store has a newer one."""

    __slots__ = ("stale", "state")

    def __init__(self, state: State | None) -> None:
        self.state = state
        self.stale = False


class States:
    """The states of one application under one policy: for all contexts together, and for each context.

    The store is the truth, and is read here and now where memory has nothing or something older; so memory never
    differs from what was committed, whoever committed it. A state that cannot be read is taken as it was last known,
    because a broken disk must not stop predictions. Another policy has its own object, and its own keys.
    """

    def __init__(
        self,
        app: str,
        policy: Policy,
        store: Store,
        ledger: Ledger,
        blend: Blend,
        *,
        contexts: int = 10_000,
    ) -> None:
        self._app = app
        self._policy = policy
        self._store = store
        self._ledger = ledger
        self._blend = blend
        self._version = 0
        self._everyone = _Held(None)
        self._everyone.stale = True
        self._held: Recent[str, _Held] = Recent(contexts)
        self._views: Recent[tuple[str | None, tuple[str, ...]], tuple[int, State]] = Recent(contexts)

    def view(self, context: str | None, models: tuple[str, ...]) -> State:
        """What the policy sees in a context: rows of these models alone, in this order.

        The very same object until something was learned, so that what a policy derives from it (`State.memo`) is
        derived once. A model that is new enters by `Policy.add_model`.
        """
        cached = self._views.get((context, models))
        if cached is not None and cached[0] == self._version:
            return cached[1]
        state = self._entered(self._hold(None).state, models).only(models)
        if context is not None:
            own = self._hold(context).state
            state = self._blend(None if own is None else self._entered(own, models).only(models), state)
        self._views.put((context, models), (self._version, state))
        return state

    def adds(self, delta: State, context: str | None, models: tuple[str, ...]) -> tuple[Add, ...]:
        """The additions of one feedback: to all contexts together, and to its own.

        Before a state is added to, each of the application's models has a row in it (seeds go ahead in the same
        commit), so that a model not judged yet is told from one that is new.
        """
        return tuple([self._add(delta, where, models) for where in ((None,) if context is None else (None, context))])

    def applied(self, adds: Iterable[Add]) -> None:
        """Additions have been committed: what is in memory of those states is old."""
        self._version += 1
        for add in adds:
            held = self._everyone if add.key == self._key(None) else self._held.get(add.key)
            if held is not None:
                held.stale = True

    def _key(self, context: str | None) -> str:
        return state_key(self._app, self._policy.name, context)

    def _add(self, delta: State, context: str | None, models: tuple[str, ...]) -> Add:
        key = self._key(context)
        held = self._hold(context)
        entered = self._entered(held.state, models)
        if entered is not held.state:
            known = held.state.sums if held.state is not None else {}
            for model in models:
                if model not in known:
                    self._ledger.seed(Seed(key, model, entered.sums[model]))
            held.state = entered
        return Add(key, delta, self._policy.forget)

    def _entered(self, state: State | None, models: tuple[str, ...]) -> State:
        """The state with a row for each of these models; the same object if it has them."""
        if state is None or not state.sums:
            return self._policy.initial(models)
        for model in models:
            if model not in state.sums:
                state = self._policy.add_model(state, model)
        return state

    def _hold(self, context: str | None) -> _Held:
        """A state in memory, read from the store unless it is there and new."""
        key = self._key(context)
        held = self._everyone if context is None else self._held.get(key)
        if held is not None and not held.stale:
            return held
        held = held or _Held(None)
        try:
            held.state = self._store.get(key)
            held.stale = False
        except StoreError:
            held.stale = True  # it stays as it was, and is tried again after the next commit
        if context is not None:
            self._held.put(key, held)
        return held
