"""The protocol between a frontend and a worker as a state machine, apart from any socket: bytes in, messages out.

1. Everything that decides what may come next is in `TRANSITIONS`; the peer's kind of frame, or its end, is the event.
   2. A frame is judged by its head before any of its payload is kept: its kind must be one the state allows, its
   length within the limit. So memory follows what has arrived, not what was announced. 3. A frame in pieces is put
   together once, when the last piece is there: its cost is linear in its size. 4. What a stream of bytes means does
   not depend on how it was cut. 5. The first violation is final: it is raised then and at every later call. Messages
   that were whole before it stay.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from skysail.errors import ProtocolError
from skysail.wire.messages import BATCH, HEADER, HELLO, MAX_FRAME, RESULT, Message, decode

__all__ = ["EOF", "TRANSITIONS", "Protocol", "State"]

EOF: Final = -1
"""The event of the peer's end of stream, beside the kinds of frames."""


class State(Enum):
    """What this end is waiting for."""

    GREETING = "a Hello"
    RESULTS = "a Result"
    BATCHES = "a Batch"
    CLOSED = "nothing after the end of the stream"
    FAILED = "nothing after a violation"


TRANSITIONS: Final[dict[State, dict[int, State]]] = {
    # a frontend's end
    State.GREETING: {HELLO: State.RESULTS, EOF: State.CLOSED},
    State.RESULTS: {RESULT: State.RESULTS, EOF: State.CLOSED},
    # a worker's end
    State.BATCHES: {BATCH: State.BATCHES, EOF: State.CLOSED},
    # either
    State.CLOSED: {EOF: State.CLOSED},
    State.FAILED: {},
}
"""For each state, what may happen in it, and what it leads to."""


class Protocol:
    """One end's reading of one connection.

    Start in `State.GREETING` to read what a worker sends, in `State.BATCHES` to read what a frontend sends. Feed it
    with `receive_data` and `receive_eof`, and take the whole messages with `events`. It writes nothing: a message's
    bytes come from `skysail.wire.messages.encode`.
    """

    def __init__(self, state: State, *, limit: int = MAX_FRAME) -> None:
        self._enter(state)
        self._limit = limit
        self._events: list[Message] = []
        self._partial: list[bytes] = []
        self._held = 0
        self._needed = HEADER.size
        self._violation = ""

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they came off the socket; a violation raises `ProtocolError`."""
        if self.state is State.FAILED:
            raise ProtocolError(self._violation)
        if not data:
            return
        if self.state is State.CLOSED:
            raise self._failed(f"{len(data)} bytes came after the end of the stream")
        if self._held:
            self._partial.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return
            data = b"".join(self._partial)
        rest = data[self._take_frames(data) :]
        self._partial = [rest]
        self._held = len(rest)

    def receive_eof(self) -> None:
        """The peer will send no more: right between two frames, a `ProtocolError` inside one."""
        if self.state is State.FAILED:
            raise ProtocolError(self._violation)
        if self._held:
            raise self._failed(f"the stream ends {self._held} bytes into a frame of {self._needed} or more")
        self._enter(self._next[EOF])

    def events(self) -> list[Message]:
        """The messages that became whole since the last call."""
        events = self._events
        self._events = []
        return events

    def _take_frames(self, data: bytes) -> int:
        """Read all whole frames; say where the first incomplete one starts."""
        start = 0
        while len(data) - start >= HEADER.size:
            length, kind = HEADER.unpack_from(data, start)
            self._check_head(length, kind)
            end = start + HEADER.size + length
            if end > len(data):
                self._needed = end - start
                return start
            try:
                self._events.append(decode(kind, data, start + HEADER.size, end))
            except ProtocolError as error:
                raise self._failed(error.message) from error
            if self._next[kind] is not self.state:
                self._enter(self._next[kind])
            start = end
        self._needed = HEADER.size
        return start

    def _check_head(self, length: int, kind: int) -> None:
        """Refuse a frame by its first bytes."""
        if kind not in self._next:
            raise self._failed(f"a frame of kind {kind} came where {self.state.value} was expected")
        if length > self._limit:
            raise self._failed(f"a frame of {length} bytes is over the limit of {self._limit}")

    def _failed(self, violation: str) -> ProtocolError:
        """Enter the last state; the error to raise."""
        self._enter(State.FAILED)
        self._violation = violation
        self._partial = []
        return ProtocolError(violation)

    def _enter(self, state: State) -> None:
        """Be in this state, with its row of the table at hand: frames that change nothing are nearly all."""
        self.state = state
        self._next = TRANSITIONS[state]
