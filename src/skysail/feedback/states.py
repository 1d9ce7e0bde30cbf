"""What the policy of an application has learned, as its policy sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from urllib.parse import quote, unquote

from skysail.errors import StoreError
from skysail.feedback.reads import Reads
from skysail.feedback.recent import Recent
from skysail.selection.base import Policy
from skysail.stats.application import ApplicationCounters
from skysail.stores.base import Add, Store
from skysail.types import State

__all__ = ["CONTEXTS", "Blend", "States", "state_key"]

CONTEXTS = 10_000
"""Contexts of an application that are held in memory; fewer, where its models are many: eight rows count as one."""

_ROWS = 8
_NEVER = -1

Blend = Callable[[State | None, State], State]
"""Makes what the policy sees in a context, of that context's own state (if it has one) and everybody's."""


def state_key(app: str, policy: str, context: str | None) -> str:
    """Where the store keeps a state: that of all contexts together for `None`.

    >>> state_key("digits", "adahedge", None), state_key("digits", "adahedge", "a/b é")
    ('digits/adahedge/', 'digits/adahedge/a%2Fb%20%C3%A9')
    """
    return f"{app}/{policy}/" + ("" if context is None else quote(context, safe=""))


class _Held:
    """A state in memory, if it is `known` what the store has; and the `view` that was last made of it."""

    __slots__ = ("known", "models", "state", "version", "view")

    def __init__(self, state: State | None, *, known: bool = True) -> None:
        self.state = state
        self.known = known
        self.view = State()
        self.models: tuple[str, ...] = ()
        self.version = _NEVER

    def keep(self, view: State, models: tuple[str, ...], version: int) -> State:
        """Remember a view for those who ask for the same; the view."""
        self.view, self.models, self.version = view, models, version
        return view


def _weight(held: _Held) -> int:
    return 1 if held.state is None else 1 + len(held.state.sums) // _ROWS


def _with_rows(
    state: State | None,
    models: tuple[str, ...],
    initial: Callable[[tuple[str, ...]], State],
    add_model: Callable[[State, str], State],
) -> State:
    if state is None:
        return initial(models)
    for model in models:
        if model not in state.sums:
            state = add_model(state, model)
    return state


class States:
    """The states of one application under one policy: for all contexts together, and for each context.

    The store is the truth. What is held in memory was read from it, and is replaced by what each transaction made: so
    memory never differs from what this frontend has committed, and a context that was not used for longest is let go
    without being written. What another frontend committed is read by the next query that needs it (`changed`). A
    context that is not held is read here and now, within the budget of `reads`; beyond that its query is served from
    the state of all, and the context read for the next query. Only queries bring contexts into memory, feedback does
    not. A state that cannot be read counts as never learned, because a broken disk must not stop predictions. Another
    policy has its own object, and its own keys.
    """

    def __init__(
        self,
        app: str,
        policy: Policy,
        store: Store,
        blend: Blend,
        *,
        reads: Reads,
        counters: ApplicationCounters,
        contexts: int = CONTEXTS,
    ) -> None:
        self.policy = policy
        self._app = app
        self._store = store
        self._blend = blend
        self._reads = reads
        self._counters = counters
        self._version = 0
        self._everyone = _Held(None, known=False)
        self._unknown = _Held(None)
        self._held: Recent[str, _Held] = Recent(contexts, _weight)

    @property
    def held(self) -> int:
        """Contexts in memory."""
        return len(self._held)

    def view(self, context: str | None, models: tuple[str, ...]) -> State:
        """What the policy sees in a context: rows of these models alone, in this order.

        The very same object until something was learned, so that what a policy derives from it (`State.memo`) is
        derived once; and the same for all contexts about which nothing is known. A model that is new enters by
        `Policy.add_model`.
        """
        held = self._everyone if context is None else self._held.get(context)
        if held is not None and held.version == self._version and held.models == models:
            return held.view
        if context is None:
            return self._view_of_all(models)
        if held is None or not held.known:
            if self._reads.allowed:
                held = self._reads.run(partial(self._read_context, context))
            else:
                self._counters.contexts_put_off += 1
                self._reads.put_off(self._key(context), partial(self._read_put_off, context))
                held = self._unknown
        return self._view_in(held, models)

    def adds(self, delta: State, context: str | None, models: tuple[str, ...]) -> tuple[Add, ...]:
        """The additions of one feedback: to all contexts together, and to its own.

        Neither state is looked at here. Where it is added to, each of these models has a row in it, so that a model
        not judged yet is told from one that is new.
        """
        enter, forget = partial(self._entered, models=models), self.policy.forget
        shared = Add(self._key(None), delta, forget, enter)
        return (shared,) if context is None else (shared, Add(self._key(context), delta, forget, enter))

    def applied(self, states: Mapping[str, State], context: str | None) -> None:
        """Feedback in this context has been committed, by a transaction that made these states, which are seen at once.

        What transactions made must come in their order. Only a context that is held is replaced.
        """
        everyone = states.get(self._key(None))
        if everyone is not None and everyone is not self._everyone.state:
            self._everyone = _Held(everyone)
            self._version += 1
        held = None if context is None else self._held.get(context)
        if context is not None and held is not None:
            own = states.get(self._key(context))
            if own is not None and own is not held.state:
                self._held.put(context, _Held(own))

    def changed(self, keys: Iterable[str]) -> None:
        """Others have added to the states of these keys: what is held of them is not what the store has any more.

        A context is let go, and is cold for its next query. The state of all is read anew, and until it can be read,
        stays what it was. Keys of another policy's states are left alone.
        """
        start = self._key(None)
        for key in keys:
            if key == start:
                self._outdate()
            elif key.startswith(start):
                self._held.drop(unquote(key[len(start) :]))

    def outdated(self) -> None:
        """Others may have added to any state: all of them are read anew."""
        self._outdate()
        self._held.clear()

    def _outdate(self) -> None:
        self._everyone = _Held(self._everyone.state, known=False)
        self._version += 1

    def _key(self, context: str | None) -> str:
        return state_key(self._app, self.policy.name, context)

    def _view_of_all(self, models: tuple[str, ...]) -> State:
        if not self._everyone.known:
            read = self._reads.run(partial(self._read, None))
            self._everyone = read if read.known else _Held(self._everyone.state, known=False)
        everyone = self._everyone
        return everyone.keep(self._entered(everyone.state, models).only(models), models, self._version)

    def _view_in(self, held: _Held, models: tuple[str, ...]) -> State:
        """What the policy sees in a context of which this is held."""
        if held.version == self._version and held.models == models:
            return held.view
        everyone, own = self.view(None, models), held.state
        if own is not None:
            own = self._entered(own, models).only(models)
        return held.keep(self._blend(own, everyone), models, self._version)

    def _entered(self, state: State | None, models: tuple[str, ...]) -> State:
        """The state with a row for each of these models; the same object if it has them.

        The writer's thread calls it too, in a transaction that is not to fail for one policy's fault.
        """
        policy = self.policy
        try:
            return _with_rows(state, models, policy.initial, policy.add_model)
        except Exception as error:  # noqa: BLE001 - a user's policy may raise anything
            self._counters.policy_failed("add_model", error)
            return _with_rows(state, models, partial(Policy.initial, policy), partial(Policy.add_model, policy))

    def _read(self, context: str | None) -> _Held:
        """A state as the store has it; one that cannot be read is tried again after the next commit."""
        try:
            return _Held(self._store.get(self._key(context)))
        except StoreError:
            return _Held(None, known=False)

    def _read_context(self, context: str) -> _Held:
        """Read a context, and hold it; those about which nothing is known are one and the same."""
        held = self._read(context)
        if held.known and held.state is None:
            held = self._unknown
        self._counters.contexts_read += 1
        self._held.put(context, held)
        return held

    def _read_put_off(self, context: str) -> None:
        """Read a context, unless that has been done meanwhile."""
        held = self._held.get(context)
        if held is None or not held.known:
            self._read_context(context)
