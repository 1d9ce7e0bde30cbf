"""`exp3ix`: exponential weights for a bandit, with implicit exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from skysail.selection.exp3 import Exp3

__all__ = ["Exp3IX"]


@dataclass(frozen=True, kw_only=True)
class Exp3IX(Exp3):
    """Exp3 whose losses are divided by p + γ, so that no estimate exceeds 1/γ (Neu 2015), and which forgets.

    For one model per query where losses may be chosen by an adversary; where they are merely random, `thompson` loses
    less. η is fixed on purpose: falling with time it would, together with forgetting, end in equal weights.
    """

    name: ClassVar[str] = "exp3ix"

    gamma: float | None = None
    """γ, the bias that bounds the estimates; η/2 by default."""

    forget: float = 0.999

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.gamma is not None:
            self.check("gamma", self.gamma, least=0.0)

    @property
    def bias(self) -> float:
        """γ."""
        return self.eta / 2 if self.gamma is None else self.gamma
