from __future__ import annotations

from asyncio import run
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from skysail.demo.recovery import Recovery, recover
from skysail.demo.score import Result


def stream(refs: Sequence[str], gaps: frozenset[int] = frozenset()) -> list[Result]:
    """One result a second, each with its place as id and as the count of labels; failed ones have no id."""
    return [
        Result(
            query=i,
            at=i + 0.1,
            latency=0.1,
            id=None if i in gaps else str(i),
            refs=() if i in gaps else (ref,),
            taught=i,
        )
        for i, ref in enumerate(refs)
    ]


def recovered(results: list[Result], leads: Sequence[bool], ref: str, *, asked: float, until: bool) -> Recovery:
    """The recovery, where the model leads or not in each decision."""

    async def weights(prediction: str) -> dict[str, float]:
        return {"svm": 0.9, "b": 0.1} if leads[int(prediction)] else {"svm": 0.1, "b": 0.9}

    return run(recover(results, ref, asked, until, weights))


@given(live=st.integers(1, 40), took=st.integers(0, 60), gap=st.integers(0, 100))
def test_labels_are_counted_from_the_live_change_to_the_fitting_decision(live: int, took: int, gap: int) -> None:
    """Where the weights turn once, the count is exact, whatever request failed elsewhere."""
    results = stream(["svm@1"] * live + ["svm@2"] * 100, frozenset({gap} - {live, live + took}))
    leads = [i < live + took for i in range(len(results))]
    found = recovered(results, leads, "svm@2", asked=0.5, until=False)
    assert found.labels == took
    assert found.live == results[live].sent


def test_what_was_sent_before_the_change_does_not_count() -> None:
    """An answer by the old version, from before it was asked for again, is not the change."""
    results = stream(["svm@1"] * 5 + ["svm@2"] * 5 + ["svm@1"] * 5)
    found = recovered(results, [i < 6 or i >= 12 for i in range(15)], "svm@1", asked=7.0, until=True)
    assert found == Recovery(live=results[10].sent, labels=2)


def test_a_change_that_never_comes_is_none() -> None:
    """No answer by the version: neither a moment nor labels."""
    assert recovered(stream(["svm@1"] * 5), [True] * 5, "svm@2", asked=1.0, until=False) == Recovery(
        live=None, labels=None
    )


def test_weights_that_never_follow_are_none() -> None:
    """The change is live but the weights stay: no count."""
    found = recovered(stream(["svm@2"] * 25), [True] * 25, "svm@2", asked=-1.0, until=False)
    assert found == Recovery(live=0.0, labels=None)
