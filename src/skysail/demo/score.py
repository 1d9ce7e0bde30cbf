"""The demo's measure: what was answered, and how often Skysail, each single model and a majority vote were wrong.

What each single model says of each picture is computed before the run, in this process, with the very artifacts that
are served (`skysail.demo.offline`): asking the server for every model's opinion would triple its load. Which version of
a model counts for a query is what the answer's `models` says, so the bad release counts exactly while it was current.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skysail.demo.digits import Labels

__all__ = ["SKYSAIL", "VOTE", "Result", "Scores", "majority"]

SKYSAIL = "Skysail"
"""The name under which the answers' own error is kept."""

VOTE = "majority vote"
"""The name of the unweighted vote of the models."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One query, answered or failed."""

    query: int
    """Its place in the traffic."""

    at: float
    """When the answer came, in seconds from the start."""

    latency: float
    """Seconds from sending to the answer, as the client saw it."""

    id: str | None = None
    """The prediction id; `None` where the request failed."""

    output: object = None
    """The answer."""

    refs: tuple[str, ...] = ()
    """The models asked, `name@version`."""

    default: bool = False
    """Whether the answer is the application's default."""

    taught: int = 0
    """How many labels the server had accepted when the query was sent."""

    @property
    def sent(self) -> float:
        """When it was sent, in seconds from the start."""
        return self.at - self.latency


def majority(outputs: Sequence[int]) -> int:
    """The output most models give; of several such the one listed first.

    >>> majority([3, 5, 5, 3, 1])
    3
    """
    return max(outputs, key=list(outputs).count)


class Scores:
    """Who was wrong about which answer, in the order the answers came."""

    def __init__(self, labels: Labels, outputs: Mapping[str, Labels], models: Sequence[str]) -> None:
        """`outputs` has what each model version, `name@version`, says of each query; at version 1 in the beginning."""
        self.names = (SKYSAIL, *models, VOTE)
        self.results: list[Result] = []
        self._labels = labels
        self._outputs = outputs
        self._current = {model: f"{model}@1" for model in models}
        self._rows: list[tuple[bool, ...]] = []
        self._totals = [0] * len(self.names)

    @property
    def current(self) -> Mapping[str, str]:
        """Each model's version in the latest answer, as `name@version`."""
        return self._current

    def add(self, result: Result) -> None:
        """Judge one result; a failed one counts as wrong for Skysail, and for the models as their last known versions
        say.
        """
        self._current.update((ref.rpartition("@")[0], ref) for ref in result.refs)
        label = int(self._labels[result.query])
        said = [self.said(ref, result.query) for ref in self._current.values()]
        wrong = [output != label for output in said]
        row = (result.output != label, *wrong, majority(said) != label)
        self.results.append(result)
        self._rows.append(row)
        self._totals = [total + fault for total, fault in zip(self._totals, row, strict=True)]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """One row for each result, one column for each of `names`."""
        return np.array(self._rows, dtype=bool).reshape(-1, len(self.names))

    def said(self, ref: str, query: int) -> int:
        """What a model version, `name@version`, says of a query's picture."""
        return int(self._outputs[ref][query])

    def errors(self, last: int | None = None) -> dict[str, float]:
        """The share of wrong answers of each of `names`, over all results or the last so many; NaN before the first."""
        count = len(self._rows) if last is None else min(last, len(self._rows))
        totals = self._totals if last is None else [sum(column) for column in zip(*self._rows[-last:], strict=True)]
        shares = [total / count if count else math.nan for total in totals or self._totals]
        return dict(zip(self.names, shares, strict=True))

    def windowed(self, size: int) -> NDArray[np.float64]:
        """The share of wrong answers over each `size` results in a row; row i ends with result i + size - 1."""
        sums = np.cumsum(np.vstack([np.zeros((1, len(self.names))), self.wrong]), axis=0)
        shares: NDArray[np.float64] = (sums[size:] - sums[:-size]) / size
        return shares
