from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from skysail.errors import InvalidJSON, InvalidRequest, RequestError, TooLarge
from skysail.http.bodies import (
    decode_observe,
    decode_predict,
    header_context,
    header_limit,
    is_one,
    observation,
    sole_row,
)
from skysail.http.shapes import Observe


def predict(**fields: Any) -> bytes:
    """A predict body."""
    return json.dumps(fields).encode()


def test_an_input_is_the_very_bytes_that_were_sent() -> None:
    """The frontend slices, and does not rewrite: spacing and number formats arrive at the worker."""
    request = decode_predict(b'{"context": "a", "input":  [1.50,  2e0 ] , "deadline_ms": 5}', 10)
    assert request.input is not UNSET
    assert bytes(request.input) == b"[1.50,  2e0 ]"
    assert (request.context, request.deadline_ms) == ("a", 5.0)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "exactly one of 'input'"),
        (b'{"input": 1, "inputs": [2]}', "exactly one of 'input'"),
        (b'{"input": 1, "contxt": "a"}', "contxt"),
        (b'{"input": 1, "context": ""}', "'context' has 0 bytes"),
        (b'{"input": 1, "context": 7}', "$.context"),
        (predict(input=1, context="é" * 129), "'context' has 258 bytes"),
        (b'{"input": 1, "deadline_ms": 0}', "deadline_ms is 0"),
        (b'{"input": 1, "deadline_ms": -1}', "deadline_ms is -1"),
        (b'{"input": 1, "deadline_ms": "5"}', "$.deadline_ms"),
        (b'{"inputs": {"a": 1}}', "$.inputs"),
        (b"[1]", "object"),
        (b"7", "object"),
    ],
)
def test_a_body_that_is_no_prediction_is_an_invalid_request(body: bytes, said: str) -> None:
    """The message names the field, its value, or what is known."""
    with pytest.raises(InvalidRequest) as caught:
        decode_predict(body, 10)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"input": [1,}',
        b'{"input": NaN}',
        b'{"input": "\xff"}',
        b'{"input": "\xc3"}',
        b'{"input": 1}x',
        b'{"input":' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"input":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
        b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"input": [' + b"[]," * 70 + b"[" * 70 + b"]" * 70 + b"]}",
    ],
)
def test_what_is_not_json_is_invalid_json(body: bytes) -> None:
    """Syntax, encoding and nesting bombs are judged here, before any worker sees them."""
    with pytest.raises(InvalidJSON):
        decode_predict(body, 10)


def test_many_brackets_are_not_deep() -> None:
    """A wide input is no bomb, nor are brackets inside a string."""
    wide = b'{"input": [' + b",".join([b"[[1]]"] * 500) + b"]}"
    assert decode_predict(wide, 10).input is not UNSET
    text = b'{"input": "' + b"[" * 500 + b'\\""}'
    assert decode_predict(text, 10).input is not UNSET


def test_too_many_rows_are_too_large() -> None:
    """The limit counts rows, and its message names the setting."""
    with pytest.raises(TooLarge, match="max_rows"):
        decode_predict(predict(inputs=[0] * 11), 10)
    assert decode_predict(predict(inputs=[]), 10).inputs == []


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_request_error(body: bytes) -> None:
    """Garbage is refused in an orderly way, whatever it is."""
    for decode in (decode_predict, decode_observe):
        try:
            decode(body, 10)
        except RequestError:
            continue


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "exactly one of 'label'"),
        (b'{"prediction_id": "a", "label": 1, "reward": 1}', "exactly one of 'label'"),
        (b'{"label": 1}', "exactly one of 'prediction_id'"),
        (b'{"prediction_id": "a", "input": [1], "label": 1}', "exactly one of 'prediction_id'"),
        (b'{"prediction_id": "a", "reward": 1.5}', "'reward' is 1.5"),
        (b'{"prediction_id": "a", "reward": -0.1}', "'reward' is -0.1"),
        (b'{"prediction_id": "a", "reward": true}', "$.reward"),
        (b'{"prediction_id": 7, "label": 1}', "$.prediction_id"),
        (b'{"prediction_id": "a", "lable": 1}', "lable"),
    ],
)
def test_an_observation_says_one_thing_of_one_decision(body: bytes, said: str) -> None:
    """Anything else is refused, with what is missing or too much."""
    with pytest.raises(InvalidRequest) as caught:
        observation(body)
    assert said in caught.value.message


def test_observations_are_read_one_by_one() -> None:
    """A list is cut into its items, so that one that cannot be read harms no other."""
    items = decode_observe(b'{"observations": [{"prediction_id": "a", "label": null}, {"x": 1}]}', 10)
    assert isinstance(items, list)
    first = observation(items[0])
    assert first.prediction_id == "a"
    assert first.label == Raw(b"null")
    with pytest.raises(InvalidRequest):
        observation(items[1])


def test_a_label_may_mention_observations() -> None:
    """The word in a value does not make a single observation a list."""
    single = decode_observe(b'{"prediction_id": "a", "label": "\\"observations\\""}', 10)
    assert isinstance(single, Observe)
    single = decode_observe(b'{"prediction_id": "a", "label": {"observations": 1}}', 10)
    assert isinstance(single, Observe)
    with pytest.raises(InvalidRequest, match="by itself"):
        decode_observe(b'{"observations": [], "label": 1}', 10)


def test_too_many_observations_are_too_large() -> None:
    """The same limit as for rows."""
    with pytest.raises(TooLarge, match="max_rows"):
        decode_observe(json.dumps({"observations": [{}] * 11}).encode(), 10)


@pytest.mark.parametrize(("value", "context"), [(None, None), (b"alice", "alice"), (b"caf%C3%A9%2F%20x", "café/ x")])
def test_a_context_header_is_percent_encoded(value: bytes | None, context: str | None) -> None:
    """Any text fits in a header."""
    assert header_context(value) == context


@pytest.mark.parametrize("value", [b"%ff", b"", b"a" * 257])
def test_a_bad_context_header_is_refused(value: bytes) -> None:
    """Neither broken UTF-8 nor an empty or overlong context."""
    with pytest.raises(InvalidRequest, match="ontext"):
        header_context(value)


@pytest.mark.parametrize("value", [b"soon", b"0", b"-3", b"nan", b"inf"])
def test_a_bad_deadline_header_is_refused(value: bytes) -> None:
    """A number of milliseconds above zero, or nothing."""
    with pytest.raises(InvalidRequest, match="Skysail-Deadline-Ms"):
        header_limit(value)


ROWS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
SPACE = st.text(" \t\r\n", max_size=3)


@given(ROWS, st.booleans(), st.lists(SPACE, min_size=6, max_size=6))
def test_a_sole_row_is_the_row(row: Any, more: bool, space: list[str]) -> None:
    """Where it is found without reading, it is what reading finds; where a quote follows, it is not looked for."""
    a, b, c, d, e, f = space
    text = json.dumps(row)
    tail = ',"context":"x"' if more else ""
    body = f'{a}{{{b}"input"{c}:{d}{text}{e}{tail}}}{f}'.encode()
    found = sole_row(body)
    assert is_one(body)
    assert (found is None) == (more or '"' in text)
    if found is not None:
        assert found == bytes(decode_predict(body, 4).input)


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'{"inputs": [1]}', b'{"context": "a", "input": 1}', b"\xff", b'{"input"']
)
def test_what_does_not_begin_as_one_row_is_not_taken_for_one(body: bytes) -> None:
    """A list, another order of fields, or no JSON: it has to be read."""
    assert not is_one(body)
    assert sole_row(body) is None


@given(st.binary(max_size=40))
def test_no_body_is_too_much_for_a_glance(body: bytes) -> None:
    """Whatever it holds, looking at it raises nothing."""
    sole_row(b'{"input":' + body)
