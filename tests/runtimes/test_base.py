"""What all runtimes share."""

from __future__ import annotations

from pathlib import Path

import pytest

from skysail.errors import DeployError
from skysail.runtimes.base import Artifact, Outputs, Runtime, existing_file


class Doubling(Runtime):
    """The least a runtime can be."""

    name = "doubling"

    @classmethod
    def load(cls, artifact: Artifact) -> Doubling:
        return cls()

    def predict(self, batch: list[int]) -> Outputs:
        return [2 * x for x in batch]


def test_a_runtime_declares_nothing_unless_it_does() -> None:
    """A runtime with `load` and `predict` alone is whole: no declaration, and nothing to close."""
    runtime = Doubling.load(Artifact(path=""))
    assert runtime.input is None
    assert list(runtime.predict([1, 2])) == [2, 4]
    runtime.close()


def test_a_file_is_found(tmp_path: Path) -> None:
    """A file that can be read is returned as a path."""
    (tmp_path / "m.txt").touch()
    assert existing_file(Artifact(path=str(tmp_path / "m.txt"))) == tmp_path / "m.txt"


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_what_is_no_file_is_named(name: str, tmp_path: Path) -> None:
    """A missing file, or a folder, is a deployment error with the path and the reason."""
    with pytest.raises(DeployError, match=r"cannot be opened \((No such file|Is a directory).*check the path"):
        existing_file(Artifact(path=str(tmp_path / name)))
