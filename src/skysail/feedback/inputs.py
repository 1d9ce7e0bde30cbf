"""Inputs in the ledger: a digest that stands for one, and the newest decision about it."""

from __future__ import annotations

from collections import deque

from xxhash import xxh3_128_digest

from skysail.feedback.recent import Recent

__all__ = ["RecentInputs", "digest"]


def digest(input: bytes, binary: bool) -> bytes:
    """Sixteen bytes that stand for an input: the same for the same bytes of the same kind, and by no
    chance for others. XXH3 is quick, and no seal: whoever wants to can make two inputs that share one.
    """
    return xxh3_128_digest(input, seed=binary)


class RecentInputs:
    """The newest decision of each application, context and input, of those made lately.

    It joins feedback to its decision where the input is known and the prediction's id is not. Bounded by the number of
    inputs; one that is not here is to be evaluated anew. Decisions stand in a line, and are indexed when somebody
    looks: most applications never do.
    """

    def __init__(self, limit: int = 4_096) -> None:
        self._ids: Recent[tuple[str, str | None, bytes], str] = Recent(limit)
        self._line: deque[tuple[str, str | None, bytes, str]] = deque(maxlen=limit)

    def add(self, app: str, context: str | None, digest: bytes, id: str) -> None:
        """Note a decision."""
        self._line.append((app, context, digest, id))

    def find(self, app: str, context: str | None, digest: bytes) -> str | None:
        """The id of the newest decision, or `None`."""
        for one, its_context, its_digest, id in self._line:
            self._ids.put((one, its_context, its_digest), id)
        self._line.clear()
        return self._ids.get((app, context, digest))
