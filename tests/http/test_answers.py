from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.engine import Prediction
from skysail.http.answers import encode_prediction, encode_predictions
from skysail.types import Cover, Failure, Output

refs = st.lists(st.from_regex(r"[a-z0-9._-]{1,8}@[1-9]", fullmatch=True), max_size=4)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=3)),
    st.none() | st.floats(0, 1),
    refs,
    st.sampled_from([None, "deadline", "low_confidence"]),
)
def test_an_answer_is_the_documented_object(
    value: object, confidence: float | None, models: list[str], reason: str | None
) -> None:
    """Every field, every time, and the output as the model wrote it."""
    prediction = Prediction("00-000001-00000002", models)
    prediction.output = Output(json.dumps(value).encode())
    prediction.confidence = prediction.agreement = confidence
    prediction.default, prediction.reason = reason is not None, reason
    prediction.missing = models[:1]
    said = json.loads(encode_prediction(prediction))
    assert said.pop("output") == value
    near = said.pop("confidence")
    assert (near is None) == (confidence is None)
    assert confidence is None or abs(near - confidence) < 1e-5
    assert said.pop("agreement") == near
    assert said == {
        "prediction_id": "00-000001-00000002",
        "default": reason is not None,
        "reason": reason,
        "models": models,
        "missing": models[:1],
    }


@pytest.mark.parametrize(
    ("cover", "told"),
    [
        (Cover("labels", 0.5, (b'"a"', b"[1]", b"2"), 0.9, 0.9, size=2), {"set": ["a", [1]]}),
        (Cover("labels", 0.5, (b'"a"',), 0.9, 0.9), {"set": None}),
        (Cover("classes", None, ()), {"set": None}),
        (
            Cover("numbers", 0.5, (b"7",), 0.9, 0.9, interval=(123456.789, 223456.5)),
            {"interval": [123456.789, 223456.5]},
        ),
        (Cover("numbers", None, ()), {"interval": None}),
    ],
)
def test_what_holds_the_label_is_told(cover: Cover, told: dict[str, object]) -> None:
    """A set for labels and classes, an interval for numbers; null where nothing is left out."""
    prediction = Prediction("id", ["m@1"])
    prediction.output, prediction.cover = Output(b"1"), cover
    said = json.loads(encode_prediction(prediction))
    assert {key: said[key] for key in ("set", "interval") if key in said} == told


def test_numbers_that_json_lacks_are_null() -> None:
    """A policy's NaN does not make the reply unreadable."""
    prediction = Prediction("id", [])
    prediction.output = Output(b"1")
    prediction.confidence, prediction.agreement = float("nan"), float("inf")
    said = json.loads(encode_prediction(prediction))
    assert said["confidence"] is said["agreement"] is None


def test_a_list_holds_answers_and_errors_in_order() -> None:
    """One bad row is one error object among answers."""
    good, bad = Prediction("a", ["m@1"]), Prediction("b", ["m@1"])
    good.output = Output(b"[1]")
    bad.failure = Failure("invalid_input", 'say "no"')
    said = json.loads(encode_predictions([good, bad]))
    assert said["predictions"][0]["output"] == [1]
    assert said["predictions"][1] == {"error": {"code": "invalid_input", "message": 'say "no"'}}
