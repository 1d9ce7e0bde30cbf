"""What an application counts of itself: plain attributes on the hot path, read as a snapshot by monitoring."""

from __future__ import annotations

import traceback
from collections import Counter

from skysail.stats.histogram import Histogram
from skysail.types import Failure

__all__ = ["ApplicationCounters"]


class ApplicationCounters:
    """Answers, defaults by reason, errors by code, latencies; how often the answer was judged, and how often it was
    right; how often a model was left out because it would have been late, a mean stood in for one that was, or a query
    was hedged, and the hedge won.

    The counts survive a change of the application's configuration, and start from zero with the frontend.
    """

    def __init__(self) -> None:
        self.answers = 0
        self.defaults: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.latency = Histogram()
        self.observations = 0
        self.duplicates = 0
        self.judged = 0
        self.right = 0
        self.versions: dict[str, list[int]] = {}
        self.contexts_read = 0
        self.contexts_put_off = 0
        self.evaluations = 0
        self.evaluations_refused = 0
        self.left_out: Counter[str] = Counter()
        self.stood_in = 0
        self.hedges = 0
        self.hedges_won = 0
        self.losses_clipped = 0
        self.policy_failures = 0
        self.policy_traceback: str | None = None

    def answered(self, seconds: float, reason: str | None, failure: Failure | None) -> None:
        """One query has got its answer (with the reason where that is the default), or an error in its place."""
        self.latency.record(seconds)
        if failure is not None:
            self.errors[failure.code] += 1
            return
        self.answers += 1
        if reason is not None:
            self.defaults[reason] += 1

    def failed(self, code: str) -> None:
        """One query was refused for what it holds."""
        self.errors[code] += 1

    def policy_failed(self, method: str, error: Exception) -> None:
        """The policy raised and was stood in for."""
        self.policy_failures += 1
        self.policy_traceback = f"in {method}: " + "".join(traceback.format_exception(error))

    def versions_judged(self, right: dict[str, bool]) -> None:
        """One observation is the first of its decision: whether each version asked was right, and in time."""
        for ref, was in right.items():
            counts = self.versions.get(ref)
            if counts is None:
                counts = self.versions[ref] = [0, 0]
            counts[0] += 1
            counts[1] += was

    def observed(self, *, first: bool, right: bool | None) -> None:
        """One observation is durable: the first of its decision (with whether the answer was right), or a later one."""
        if not first:
            self.duplicates += 1
            return
        self.observations += 1
        if right is not None:
            self.judged += 1
            self.right += right
