"""`vote`: every model counts the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.base import Policy
from skysail.types import Distribution, State

__all__ = ["Vote"]


@dataclass(frozen=True, kw_only=True)
class Vote(Policy):
    """An ensemble in which every model counts the same: for models about equally good, where no feedback ever comes.

    With feedback `adahedge` is better: an unweighted vote is as good as its models on average, and a broken one keeps
    its voice.
    """

    name: ClassVar[str] = "vote"
    exempt: ClassVar[Mapping[str, str]] = {"beats_uniform": "it learns nothing"}

    forget: float = 0.999

    def weigh(self, state: State) -> Distribution:
        """Equal weights."""
        return Distribution(state.models, (1.0 / len(state.sums),) * len(state.sums))
