"""Which stragglers are forgiven: a model that is late now and then is, one that is late most of the time is not."""

from __future__ import annotations

__all__ = ["Stragglers"]

_LAST = 100
_MASK = (1 << _LAST) - 1


class Stragglers:
    """The last hundred times each model of an application was asked, and whether it was missing from the answer.

    A model that is missing more often than not is `lost`: its misses are recorded as such, and feedback judges them as
    wrong; else a dead model would keep the weight it had. Each time it is there speaks for it again.
    """

    def __init__(self) -> None:
        self._missed: dict[tuple[str, str], int] = {}

    def note(self, app: str, model: str, missing: bool) -> None:
        """A model was asked; whether it was missing when the answer was made."""
        if not (missing or self._missed):
            return
        key = (app, model)
        missed = self._missed.get(key, 0)
        if missed or missing:
            self._missed[key] = (missed << 1 | missing) & _MASK

    def lost(self, app: str, model: str) -> bool:
        """Whether the model was missing in over half of the last hundred."""
        return self._missed.get((app, model), 0).bit_count() > _LAST // 2
