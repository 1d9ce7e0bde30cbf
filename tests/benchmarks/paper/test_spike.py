from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def spike(paper: Any) -> Any:
    """The module."""
    return paper("spike")


def asked(spike: Any, due: float, output: int, *, by: str = "big", latency: float = 0.01, default: bool = False) -> Any:
    """A query as it was answered by one of the two models, the second as the fallback of the first."""
    missing = [model for model in ("big@1", "small@1") if by != model[:-2]] if by == "small" else []
    models = ["big@1", "small@1"] if by == "small" else ["big@1"]
    answer = {"output": output, "default": default, "models": models, "missing": models if default else missing}
    return spike.Asked(due=due, latency=latency, status=200, answer=answer)


def test_an_answer_counts_if_it_is_right_and_in_time(spike: Any) -> None:
    """Wrong, late and failed ones do not; and each is counted for the model whose output it is."""
    run = spike.Run(
        asked=[
            asked(spike, 0.0, 1),
            asked(spike, 0.1, 2),
            asked(spike, 0.2, 1, latency=0.2),
            asked(spike, 0.3, 1, by="small"),
            asked(spike, 0.4, -1, default=True),
            spike.Asked(due=0.5, latency=0.01, status=503, answer={"error": {}}),
            asked(spike, 1.0, 1),
        ],
        labels=[1] * 7,
        told=0.5,
    )
    window = run.window(0.0, 1.0)
    assert window.queries == 6
    assert window.effective == pytest.approx(2 / 6)
    assert window.big == pytest.approx(3 / 6)
    assert window.p99 == 0.2
    assert run.window(1.0, 2.0).effective == 1.0


def test_goals_compare_the_spike_and_what_follows_it(spike: Any) -> None:
    """The gain over the big model alone is in points, that over both in shares of what could be gained; what comes back
    is looked at from a second after it.
    """
    plan = [0.1 * step for step in range(90)]

    def run(right: float) -> Any:
        made = [asked(spike, due, int(not 3.0 <= due < 6.0 or step % 10 < 10 * right)) for step, due in enumerate(plan)]
        return spike.Run(asked=made, labels=[1] * len(plan), told=right)

    runs = {spike.ALONE: [run(0.2)], spike.WITHOUT: [run(0.7)], spike.WITH: [run(0.8)]}
    over_alone, saved, back = spike._result(runs, (3.0, 3.0, 3.0), 0.95, "").goals
    assert over_alone.value == pytest.approx(60.0)
    assert over_alone.met
    assert saved.value == pytest.approx(0.1 / 0.25)
    assert not saved.met
    assert back.value == 1.0


@pytest.mark.slow
def test_a_small_run(spike: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three are run through the server, and their queries are the same."""
    monkeypatch.setattr(spike, "_QUICK_SECONDS", (0.5, 0.5, 1.5))
    result = spike._run(True)
    alone, without, on = (result.data[which]["stretches"] for which in (spike.ALONE, spike.WITHOUT, spike.WITH))
    assert alone["all"]["queries"] == without["all"]["queries"] == on["all"]["queries"] > 300
    assert on["calm"]["effective"] > 0.5
    assert len(result.data[spike.WITH]["curves"]["big"]) == 5
