"""Five models of five kinds behind one endpoint, learning from feedback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from skysail.demo.digits import Digits, perturb

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

MODELS = ["svm", "logistic", "mlp", "boosted", "centroid"]


@pytest.fixture(scope="module")
def site(serving: Callable[..., AbstractContextManager[Site]], trained: tuple[Path, Digits]) -> Iterator[Site]:
    """The demo's five models, with an objective that a busy machine can keep."""
    folder, _ = trained
    config = (folder / "skysail.toml").read_text().replace('"25ms"', '"5s"')
    with serving(folder, config) as site:
        yield site


@pytest.fixture
def images(trained: tuple[Path, Digits]) -> list[tuple[list[float], int]]:
    """Held-out digits, disturbed, with what they show."""
    _, digits = trained
    rows = perturb(digits.held_out, np.random.default_rng(7)).tolist()
    return list(zip(rows, digits.held_out_labels.tolist(), strict=True))


def test_every_kind_answers(site: Site, images: list[tuple[list[float], int]]) -> None:
    """Python, joblib, skops, ONNX and LightGBM are asked about one picture, and each gives a digit."""
    row, label = images[0]
    answer = site.predict("digits", row)
    assert answer["models"] == [f"{name}@1" for name in MODELS]
    assert (answer["missing"], answer["default"], answer["reason"]) == ([], False, None)
    why = site.wait(lambda: site.admin.get(f"/predictions/{answer['prediction_id']}").json().get("models"))
    assert [it["model"] for it in why] == answer["models"]
    outputs = [it["output"] for it in why]
    assert all(type(output) is int for output in outputs)
    assert answer["output"] == label == max(outputs, key=outputs.count)
    assert answer["agreement"] == pytest.approx(outputs.count(label) / 5)


def test_a_malformed_row_of_a_list_fails_alone(site: Site, images: list[tuple[list[float], int]]) -> None:
    """The row's own object is an error that names what is wrong; the rows around it are answered as if alone."""
    good = [row for row, _ in images[1:4]]
    response = site.data.post("/apps/digits/predict", json={"inputs": [good[0], good[1][:63], good[1], "7", good[2]]})
    assert response.status_code == 200
    found = response.json()["predictions"]
    assert [it["error"]["code"] for it in (found[1], found[3])] == ["invalid_input", "invalid_input"]
    assert "63" in found[1]["error"]["message"]
    assert [found[i]["output"] for i in (0, 2, 4)] == [site.predict("digits", row)["output"] for row in good]


def test_bytes_are_as_good_as_json(site: Site, images: list[tuple[list[float], int]]) -> None:
    """The same picture as little-endian float32 and as JSON gives the same answer."""
    for row, _ in images[5:15]:
        headers = {"Content-Type": "application/octet-stream"}
        sent = site.data.post("/apps/digits/predict", content=np.array(row, "<f4").tobytes(), headers=headers)
        assert sent.status_code == 200, sent.text
        told = site.predict("digits", row)
        assert {**sent.json(), "prediction_id": 0} == {**told, "prediction_id": 0}


def test_feedback_moves_the_weights(site: Site, images: list[tuple[list[float], int]]) -> None:
    """Within fifty labels the best model weighs most, in /status and in the next answer's explanation."""
    before = site.status()["apps"]["digits"]
    assert before["weights"] == pytest.approx(dict.fromkeys(MODELS, 0.2))
    hard = [it for it in images[20:250] if _answers(site, it[0])["boosted"] != it[1]][:50]
    for row, label in hard:
        site.observe("digits", site.predict("digits", row)["prediction_id"], label)
    after = site.status()["apps"]["digits"]
    assert after["observations"] == before["observations"] + len(hard)
    assert max(after["weights"], key=after["weights"].__getitem__) == "svm"
    assert after["weights"]["svm"] > 0.35
    assert after["weights"]["boosted"] < 0.05
    id = site.predict("digits", hard[0][0])["prediction_id"]
    assert site.get(f"/predictions/{id}")["weights"] == pytest.approx(after["weights"])


def test_a_context_has_weights_of_its_own(site: Site, images: list[tuple[list[float], int]]) -> None:
    """Somebody for whom the weakest model is always right comes to trust it, and nobody else is moved as far."""
    split = [(row, _answers(site, row)) for row, _ in images[250:500]]
    split = [(row, answers) for row, answers in split if answers["boosted"] != answers["svm"]][:40]
    for row, answers in split:
        told = site.predict("digits", row, context="contrary")
        assert site.observe("digits", told["prediction_id"], answers["boosted"])["accepted"] == 1
    everybody = site.status()["apps"]["digits"]["weights"]
    contrary = site.status(context="contrary")["apps"]["digits"]["weights"]
    stranger = site.status(context="stranger")["apps"]["digits"]["weights"]
    assert max(contrary, key=contrary.__getitem__) == "boosted"
    assert contrary["boosted"] > everybody["boosted"] > 0
    assert stranger["boosted"] < contrary["boosted"]


def _answers(site: Site, row: list[float]) -> dict[str, Any]:
    """What each model says of a row."""
    id = site.predict("digits", row)["prediction_id"]
    models = site.wait(lambda: site.admin.get(f"/predictions/{id}").json().get("models"))
    return {it["model"].partition("@")[0]: it["output"] for it in models}
