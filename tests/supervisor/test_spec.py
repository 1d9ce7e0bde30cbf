from __future__ import annotations

import msgspec
import pytest

from skysail.supervisor.spec import ChildSpec, describe_exit


def test_a_spec_survives_the_link() -> None:
    """A spec that travels as JSON is equal to what was sent, so that an unchanged child is left alone."""
    spec = ChildSpec(
        name="a", kind="worker", argv=("x",), spec={"n": [1]}, fds=("listen",), listen="/s", env={"A": "b"}
    )
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ChildSpec) == spec


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "status 0"), (3, "status 3"), (-6, "SIGABRT"), (-9, "memory ran out"), (-64, "SIGRTMAX"), (-99, "signal 99")],
)
def test_an_exit_is_told_in_words(code: int, words: str) -> None:
    """Every return code has words, those of unknown signals too."""
    assert words in describe_exit(code)
