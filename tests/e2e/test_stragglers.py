"""Slow models, means, hedges, switching and policies that raise, through HTTP and the commands."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

MINE = """
import time
from pathlib import Path

from skysail.selection.vote import Vote


def quick(batch):
    return [row["says"] for row in batch]


def dozing(batch):
    time.sleep(max(row.get("doze", 0) for row in batch))
    return [row["says"] for row in batch]


def first(mark):
    try:
        Path(mark).touch(exist_ok=False)  # of two processes, one succeeds
    except FileExistsError:
        return False
    return True


def uneven(batch):
    for row in batch:
        if "mark" in row and first(row["mark"]):
            time.sleep(3)
    return [row["says"] for row in batch]


class Raising(Vote):
    name = "raising"

    def select(self, state, query, rng):
        raise KeyError("no such arm")

    def update(self, decision, losses):
        raise ZeroDivisionError("no learning either")
"""

CONFIG = """
[models]
quick = { path = "mine.py:quick" }
dozing = { path = "mine.py:dozing", cache = false }
averaged = { path = "mine.py:dozing", cache = false }
hopeless = { path = "mine.py:dozing", cache = false }
uneven = { path = "mine.py:uneven", replicas = 2, cache = false }
gated = { path = "ZOO:gated" }

[apps]
late = { models = ["quick", "dozing"], policy = "adahedge", slo = "150ms" }
lost = { models = ["quick", "hopeless"], policy = "adahedge", slo = "60ms" }
raising = { models = ["quick"], policy = "mine:Raising", slo = "5s" }
hedged = { models = ["uneven"], slo = "2s", hedge = true }
switching = { models = ["gated", "quick"], slo = "20s", prefer_in_time = true }

[apps.mean]
models = ["quick", "averaged"]
policy = "vote"
slo = "150ms"
missing = "mean"
loss = { name = "squared", range = [0, 10] }
"""


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Models that take as long as a row says, and one application for each way to deal with that."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "mine.py").write_text(MINE)
    with serving(folder, CONFIG) as site:
        yield site


def why(site: Site, id: str, done: Callable[[Any], Any] = bool) -> Any:
    """What the control plane says of a prediction, as soon as it is as it should be."""

    def found() -> Any:
        told = site.admin.get(f"/predictions/{id}").json()
        return told if "models" in told and done(told) else None

    return site.wait(found)


def test_feedback_judges_a_model_that_was_late(site: Site) -> None:
    """The answer is made without it; its output completes the record, is judged like the others, and moves the weights;
    `why` tells all of it.
    """
    answer = site.predict("late", {"says": 7, "doze": 0.4})
    assert (answer["output"], answer["missing"]) == (7, ["dozing@1"])
    assert answer["confidence"] == pytest.approx(0.5)
    told = why(site, answer["prediction_id"], lambda told: told["models"][1]["late"])
    assert [model["output"] for model in told["models"]] == [7, 7]
    assert told["models"][1]["latency_ms"] > 150
    site.observe("late", answer["prediction_id"], 7)
    told = why(site, answer["prediction_id"], lambda told: told["feedback"])
    assert [model["loss"] for model in told["models"]] == [0.0, 0.0]
    assert told["weights"] == told["weights_now"] == {"quick": 0.5, "dozing": 0.5}


def test_a_model_that_is_late_most_of_the_time_is_judged_wrong(site: Site) -> None:
    """Neutral at first; missing in over half of its last hundred, waited for or refused at once, it has loss 1."""
    losses = []
    for n in range(60):
        answer = site.predict("lost", {"says": n, "doze": 0.1})
        assert answer["missing"] == ["hopeless@1"]
        site.observe("lost", answer["prediction_id"], n)
        told = site.get(f"/predictions/{answer['prediction_id']}")["models"][1]
        losses.append((told["loss"], (told["failure"] or "").partition(":")[0]))
    assert {loss for loss, _ in losses[:50]} <= {None, 0.0}
    assert (1.0, "lost") in losses[51:]
    weights = site.status()["apps"]["lost"]["weights"]
    assert weights["quick"] > 0.6


def test_a_mean_stands_in_for_what_is_not_there(site: Site) -> None:
    """The answer is made with the mean of what the model said before; the model is missing, and `why` shows both."""
    site.predict("mean", {"says": 2.0})
    site.predict("mean", {"says": 4.0})
    answer = site.predict("mean", {"says": 9.0, "doze": 0.4})
    assert answer["missing"] == ["averaged@1"]
    assert answer["output"] == pytest.approx((9.0 + 3.0) / 2)
    assert answer["agreement"] <= 0.5
    assert why(site, answer["prediction_id"])["models"][1]["mean"] == pytest.approx(3.0)
    assert site.status()["apps"]["mean"]["stood_in"] == 1


def test_a_second_replica_answers_for_one_that_is_slow(site: Site, tmp_path: Path) -> None:
    """After the p95 of what came before, an idle replica is asked too, and is first; record and counts say so."""
    for n in range(48):
        site.predict("hedged", {"says": n})
    answer = site.predict("hedged", {"says": "rescued", "mark": str(tmp_path / "mark")})
    assert (answer["output"], answer["models"], answer["missing"]) == ("rescued", ["uneven@1"], [])
    told = why(site, answer["prediction_id"])
    assert (told["hedge"], told["models"][0]["propensity"], told["latency_ms"] < 2000) == ("replica", 1.0, True)
    hedges = site.status()["apps"]["hedged"]["hedges"]
    assert hedges["asked"] >= hedges["won"] >= 1
    assert f'skysail_hedges_won_total{{app="hedged"}} {hedges["won"]:.1f}' in site.admin.get("/metrics").text


def test_a_busy_model_is_left_out_and_comes_back(site: Site, tmp_path: Path) -> None:
    """While its first query hangs at the gate the others go to the next model; once that is through, it is asked."""
    gate = tmp_path / "gate"
    row = {"gate": str(gate), "says": 1}
    with site.wire() as wire:
        body = json.dumps({"input": row}).encode()
        wire.send(b"POST /apps/switching/predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        site.wait(gate.with_suffix(".reached").exists)
        answer = site.predict("switching", {**row, "n": 1})
        assert (answer["models"], answer["output"]) == (["quick@1"], 1)
        assert why(site, answer["prediction_id"])["left_out"] == {"gated": None}
        gate.touch()
        assert wire.reply().body["models"] == ["gated@1"]
    assert site.predict("switching", {**row, "n": 2})["models"] == ["gated@1"]
    assert site.status()["apps"]["switching"]["left_out"] == {"gated": 1}


def test_a_policy_that_raises_loses_nothing_and_is_named(
    site: Site, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The fallback answers, the observation is kept, and status says loudly what was raised, and where."""
    answer = site.predict("raising", {"says": 7})
    assert (answer["output"], answer["default"]) == (7, False)
    assert site.observe("raising", answer["prediction_id"], 7)["accepted"] == 1
    app = site.status()["apps"]["raising"]
    assert app["policy_failures"] >= 2
    assert "in update: " in app["policy_traceback"]
    assert "no learning either" in app["policy_traceback"]
    assert why(site, answer["prediction_id"])["policy_raised"] == "select"
    shown = cli("status", "--admin-url", site.admin_url).stdout
    assert re.search(r"the policy of raising raised \d+ times", shown)
    assert "no learning either" in shown


def test_the_command_tells_why(site: Site, cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """For a person: what was answered, each model's part, and the feedback; with --json, what the route says."""
    answer = site.predict("late", {"says": 7})
    id = answer["prediction_id"]
    site.observe("late", id, 8)
    shown = cli("why", id, "--admin-url", site.admin_url)
    assert shown.returncode == 0, shown.stderr
    for part in ("late answered 7", "by adahedge", "quick@1", "dozing@1", "the right answer is 8"):
        assert part in shown.stdout
    document = json.loads(cli("why", id, "--admin-url", site.admin_url, "--json").stdout)
    assert document == site.get(f"/predictions/{id}")
    assert [model["loss"] for model in document["models"]] == [1.0, 1.0]
    assert cli("why", "00-000001-0fffffff", "--admin-url", site.admin_url).returncode == 1
