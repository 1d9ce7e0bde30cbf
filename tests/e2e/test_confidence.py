"""Calibrated confidence over HTTP: through a drift, through a restart, and with what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Site

CONFIG = """
[models]
first = { path = "ZOO:first" }
second = { path = "ZOO:second" }
third = { path = "ZOO:third" }

[apps.labels]
models = ["first", "second", "third"]
policy = "adahedge"
slo = "20s"
confidence = { method = "conformal", target = 0.9 }

[apps.cautious]
models = ["first", "second"]
slo = "20s"
default = "ask somebody"
min_confidence = 0.6
confidence = { method = "conformal", target = 0.8 }

[apps.prices]
models = ["first", "second"]
policy = "adahedge"
loss = { name = "absolute", range = [0, 100], tolerance = 5 }
slo = "20s"
confidence = { method = "conformal", target = 0.9 }

[apps.plain]
models = ["first"]
slo = "20s"
"""

ROWS = 50


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Models that say what the rows say, in applications of several kinds."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG) as site:
        yield site


def exchange(site: Site, app: str, rows: list[list[Any]], labels: list[Any]) -> list[dict[str, Any]]:
    """Predictions of rows, and their labels given at once."""
    response = site.data.post(f"/apps/{app}/predict", json={"inputs": rows})
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()["predictions"]
    told = [
        {"prediction_id": answer["prediction_id"], "label": label}
        for answer, label in zip(answers, labels, strict=True)
    ]
    response = site.data.post(f"/apps/{app}/observe", json={"observations": told})
    assert response.json() == {"accepted": len(rows), "duplicates": 0, "rejected": []}, response.text
    return answers


def test_coverage_is_within_two_points_of_its_target_through_a_drift(site: Site) -> None:
    """Half-way the best model breaks. What clients saw is what `/status` and `/metrics` say."""
    rng, seen = Random(3), []
    for n in range(60):
        right = (0.9, 0.8, 0.7) if n < 30 else (0.1, 0.8, 0.7)
        labels = [rng.randrange(10) for _ in range(ROWS)]
        rows = [
            [label if rng.random() < share else (label + rng.randrange(1, 10)) % 10 for share in right] + [n * ROWS + i]
            for i, label in enumerate(labels)
        ]
        seen += list(zip(exchange(site, "labels", rows, labels), labels, strict=True))
    assert all(answer["set"] is None and answer["confidence"] is None for answer, _ in seen[:ROWS])
    said = [(answer["set"], label) for answer, label in seen if answer["confidence"] is not None]
    assert all(answer["output"] == answer["set"][0] for answer, _ in seen if answer["set"] is not None)
    held = [given is None or label in given for given, label in said]
    assert sum(held) / len(held) == pytest.approx(0.9, abs=0.02)
    assert sum(held[-1000:]) / 1000 == pytest.approx(0.9, abs=0.03)
    app = site.status()["apps"]["labels"]
    tally = app["conformal"]
    assert (tally["target"], tally["judged"], tally["covered"]) == (0.9, len(held), sum(held))
    assert tally["coverage"] == pytest.approx(sum(held) / len(held))
    sizes = [len(given) for given, _ in said if given is not None]
    assert tally["size"] == pytest.approx(sum(sizes) / len(sizes))
    metrics = site.admin.get("/metrics").text
    assert f'skysail_covered_total{{app="labels"}} {float(sum(held))}' in metrics
    versions = {ref: round(it["effective_accuracy"], 1) for ref, it in app["versions"].items()}
    assert versions == {"first@1": 0.5, "second@1": 0.8, "third@1": 0.7}


def test_an_unsure_answer_is_the_default_with_what_it_might_have_been(site: Site) -> None:
    """Of a model that is right half the time `min_confidence` 0.6 lets nothing through, until it does better."""
    rows = [[n % 2, 1, n] for n in range(ROWS)]
    exchange(site, "cautious", rows, [1] * ROWS)
    answer = site.predict("cautious", [1, 1, "new"])
    assert (answer["output"], answer["reason"]) == ("ask somebody", "low_confidence")
    assert answer["confidence"] == pytest.approx(0.5, abs=0.05)
    for n in range(2):
        exchange(site, "cautious", [[1, 1, f"{n} {i}"] for i in range(ROWS)], [1] * ROWS)
    answer = site.predict("cautious", [1, 1, "newer"])
    assert (answer["output"], answer["reason"], answer["set"]) == (1, None, answer["set"])
    assert answer["confidence"] > 0.6


def test_intervals_hold_numbers(site: Site) -> None:
    """About nine in ten; a number within the tolerance is right in the accuracy that is reported."""
    rng, held = Random(4), []
    for n in range(24):
        labels = [rng.uniform(20.0, 80.0) for _ in range(ROWS)]
        rows = [[label + rng.gauss(0, 4), label + rng.gauss(0, 8), n] for label in labels]
        for answer, label in zip(exchange(site, "prices", rows, labels), labels, strict=True):
            assert "set" not in answer
            if answer["interval"] is not None:
                low, high = answer["interval"]
                assert low <= answer["output"] <= high
                held.append(low <= label <= high)
    assert sum(held) / len(held) == pytest.approx(0.9, abs=0.02)
    app = site.status()["apps"]["prices"]
    assert app["conformal"]["recent"] == pytest.approx(0.9, abs=0.03)
    assert app["versions"]["first@1"]["effective_accuracy"] == pytest.approx(0.79, abs=0.05), (
        "a normal deviate in 1.25 σ"
    )
    assert 0.4 < app["versions"]["second@1"]["effective_accuracy"] < app["effective_accuracy"]


def test_what_fails_says_nothing(site: Site) -> None:
    """NaN is a model's error: others answer, with a confidence; where nobody can, there is an error or the default."""
    answer = site.predict("labels", [None, 4, 4])
    assert (answer["output"], answer["missing"]) == (4, ["first@1"])
    assert answer["confidence"] is not None
    response = site.ask("plain", [None])
    assert (response.status_code, response.json()["error"]["code"]) == (502, "model_error")
    assert "set" not in site.predict("plain", [5])
    assert site.status()["apps"]["plain"]["conformal"] is None
    response = site.data.post(
        "/apps/prices/observe", json={"prediction_id": site.predict("prices", [5, 6])["prediction_id"], "label": "much"}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_input")


def test_why_tells_what_was_to_hold_the_label(site: Site, cli: Callable[..., Any]) -> None:
    """On the command line too."""
    answer = site.predict("prices", [50, 50])
    site.observe("prices", answer["prediction_id"], 99)
    path = f"/predictions/{answer['prediction_id']}"
    why = site.wait(lambda: site.admin.get(path).json().get("conformal"))
    assert (why["interval"], why["covered"]) == (answer["interval"], False)
    told = cli("why", answer["prediction_id"], "--admin-url", site.admin_url).stdout
    assert "the label should be in [" in told
    assert "and was not" in told
    assert "held by" in cli("predict", "prices", "[51, 52]", "--url", site.url).stdout
    assert "confidence in prices: held" in cli("status", "--admin-url", site.admin_url).stdout


def test_what_was_learned_outlives_the_server(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path: Path
) -> None:
    """The frontend is killed: the next one says at once what the one before had learned, and how it turned out."""
    with serving(tmp_path, CONFIG) as site:
        for n in range(2):
            exchange(site, "labels", [[1, 1, 1, n, i] for i in range(ROWS)], [1] * ROWS)
        before = site.status()["apps"]["labels"]["conformal"]
        pid = site.kill("frontend/0")
        site.wait(lambda: site.pids()["frontend/0"] not in (None, pid) and site.ready())
        assert site.predict("labels", [1, 1, 1, "after"])["confidence"] > 0.9
        assert site.wait(lambda: site.status()["apps"]["labels"].get("conformal")) == before


def test_a_loss_that_cannot_be_calibrated_is_refused(
    cli: Callable[..., Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    """With the remedy, before anything is served."""
    (tmp_path / "own.py").write_text(
        "class Loss:\n"
        "    name = 'own'\n"
        "    def check_label(self, label): ...\n"
        "    def loss(self, output, label): return 0.0\n"
        "    def agree(self, a, b): return True\n"
        "    def combine(self, weighted): return weighted[0][1]\n"
    )
    own = 'loss = "own.py:Loss"\nconfidence = { method = "conformal" }\n'
    config = write(tmp_path, f'[models]\nm = {{ path = "ZOO:echo" }}\n[apps.a]\nmodels = ["m"]\n{own}')
    done = cli("check", config)
    assert done.returncode == 2
    assert "apps.a: confidence: what the loss 'own' judges cannot be calibrated; use zero_one" in done.stderr
