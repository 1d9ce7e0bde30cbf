"""The example with a policy and models of one's own: it is served, and it learns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from skysail.client import Client

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_policy"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def test_it_learns_which_rule_to_ask(reader: Callable[[Path | None], Any]) -> None:
    """When only the words tell what is urgent, the policy comes to ask the model of words; the server ends with 0."""
    walk = reader(EXAMPLE)
    walk.serve()
    rng = Random(7)
    with Client(*walk.addresses) as client:
        before = client.status()["apps"]["triage"]["weights"]
        for _ in range(60):
            urgent = rng.random() < 0.5
            ticket = {
                "subject": "Cannot log in" if urgent else "Thank you",
                "amount": rng.choice([10.0, 200.0]),
                "waiting_h": rng.choice([1, 48]),
            }
            answer = client.predict("triage", ticket)
            label = "urgent" if urgent else "normal"
            assert client.observe("triage", answer.prediction_id, label=label).accepted == 1
        after = client.status()["apps"]["triage"]["weights"]
        last = client.why(answer.prediction_id)
    assert before == pytest.approx(dict.fromkeys(("words", "amount", "patience"), 1 / 3))
    assert after["words"] > 0.9
    assert last["policy"] == "greedy"
    assert last["feedback"]["label"] == label
    assert walk.stop() == 0
