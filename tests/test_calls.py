from __future__ import annotations

import pytest

from skysail.calls import Call
from skysail.types import Output


def test_a_call_begins_neither_over_nor_queued() -> None:
    """Who makes it says what settling it does; by itself it does nothing."""
    call = Call(b"1", False, 1.0, 2.0)
    assert not call.over
    assert not call.queued
    with pytest.raises(NotImplementedError):
        call.settle(Output(b"1"), 1.5)
