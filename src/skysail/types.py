"""The vocabulary: plain values that every floor shares, from the HTTP body to the ledger.

Nothing here acts. What every query makes anew is defined in `skysail.values`, which can be compiled (msgspec's classes
cannot), and is imported from here.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from skysail.values import Estimate, Failure, Outcome, Output, Query, State, same_json

__all__ = [
    "Answer",
    "Cover",
    "Decision",
    "Distribution",
    "Estimate",
    "Failure",
    "ModelRef",
    "Notes",
    "Observation",
    "Outcome",
    "Output",
    "Query",
    "Reason",
    "Selection",
    "State",
    "same_json",
]

Reason = Literal["overload", "deadline", "unavailable", "model_error", "low_confidence"]
"""Why an answer is a default, and the code of the error where there is none."""


class ModelRef(NamedTuple):
    """A model version, written `name@version`."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """The inverse of `str`.

        >>> ModelRef.parse("svm@3")
        ModelRef(name='svm', version=3)
        """
        name, _, version = text.rpartition("@")
        return cls(name, int(version))


class Distribution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How much a policy trusts each model at one moment: weights that sum to one, and the learning rate they came
    from.
    """

    models: tuple[str, ...]
    weights: tuple[float, ...]
    eta: float = 0.0

    def weight(self, model: str) -> float:
        """The weight of one model; 0 for one that is not in the distribution."""
        try:
            return self.weights[self.models.index(model)]
        except ValueError:
            return 0.0


class Selection(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which models to ask, and with what probability each was chosen (1.0 where all are always asked)."""

    distribution: Distribution
    asked: tuple[str, ...]
    propensities: tuple[float, ...]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What the application says: the output, how sure it is of it, and where it came from.

    `confidence` is `None` where nothing is known yet. `used` are the models whose outputs went into it.
    """

    output: Output
    confidence: float | None
    agreement: float
    used: tuple[str, ...]


class Cover(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is said to hold the label: the first `size` labels of a ranking, or an interval; with what feedback needs to
    judge it.

    `kind` is `labels`, `classes` or `numbers`. `own` is how sure the policy was, `ranked` the labels as JSON texts (of
    numbers, the answer alone; none where there was no answer). `confidence` is the calibrated one, `level` the level in
    force, `steps` what the level is corrected by: less of the first if the label is held, of the second if it is not.
    Without a level nothing is said yet. With neither size nor interval the label may be anything.
    """

    kind: str
    own: float | None
    ranked: tuple[bytes, ...]
    confidence: float | None = None
    level: float | None = None
    steps: tuple[float, float] = (0.0, 0.0)
    size: int | None = None
    interval: tuple[float, float] | None = None
    order: int = 0

    @property
    def open(self) -> bool:
        """Whether nothing is left out."""
        return self.size is None and self.interval is None

    @property
    def extent(self) -> float:
        """How large it is: labels, or the width of the interval; 0 where nothing is left out."""
        if self.interval is not None:
            return self.interval[1] - self.interval[0]
        return float(self.size or 0)


class Notes(msgspec.Struct, array_like=True, gc=False):
    """What was out of the ordinary about a decision: for those who ask why it is as it is.

    `late` are the models that were left out because they would have been too late, each with the milliseconds it was
    expected to take. `means` are the mean outputs (JSON text) that stood in for those of models that were not in time.
    `hedge` tells who was asked as well, because the model drawn was slow: another `replica` of it, or the next `model`.
    `raised` is the policy's method that raised, in whose place the fallback's was called.
    """

    late: dict[str, float] = {}
    means: dict[str, bytes] = {}
    hedge: str | None = None
    raised: str | None = None


class Decision(msgspec.Struct, array_like=True, gc=False):
    """One answered query as the ledger keeps it: everything that feedback, now or hours late, needs to judge the
    models.

    The lists are parallel to `asked` (`name@version` texts). `outputs[i]` is the JSON text a model gave, or `None`;
    `failures[i]` is `None` for an output, else `missing` (a straggler), `lost` (a straggler that has been one too
    often, to be judged as wrong; with a failure's code and message, where it was refused rather than waited for),
    `overtaken` (a hedge that was not the first), or a failure's `code: message`. `latencies` are milliseconds from
    arrival. `policy` is the policy's name; `time` is wall-clock seconds; `digest` is the input's.
    """

    id: str
    app: str
    policy: str
    context: str | None
    time: float
    digest: bytes
    distribution: Distribution
    asked: list[str]
    propensities: tuple[float, ...]
    outputs: list[bytes | None]
    failures: list[str | None]
    latencies: list[float | None]
    answer: bytes | None
    confidence: float | None
    agreement: float | None
    default: bool
    reason: str | None
    fallback: bool
    latency: float
    input: bytes | None = None
    notes: Notes | None = None
    cover: Cover | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models asked, without their versions."""
        return tuple([ref.rpartition("@")[0] for ref in self.asked])


class Observation(msgspec.Struct, array_like=True, gc=False):
    """Feedback on one decision: the true label (JSON text), or a reward in [0, 1]; exactly one of them."""

    id: str
    label: bytes | None
    reward: float | None
    time: float
