"""What a body may hold."""

from __future__ import annotations

import msgspec
import pytest

from skysail.http.shapes import Observe, ObserveBody, Predict


@pytest.mark.parametrize("shape", [Observe, ObserveBody, Predict])
def test_no_body_takes_an_unknown_field(shape: type[msgspec.Struct]) -> None:
    """A misspelt field is refused, not passed over."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `contxt`"):
        msgspec.json.decode(b'{"contxt": "alice"}', type=shape)


def test_rows_and_labels_stay_as_they_were_sent() -> None:
    """Their bytes are cut out, spaces and number formats included."""
    assert bytes(msgspec.json.decode(b'{"input": [1.50, 2 ]}', type=Predict).input) == b"[1.50, 2 ]"
    assert bytes(msgspec.json.decode(b'{"label": "\\u00e9"}', type=Observe).label) == b'"\\u00e9"'
