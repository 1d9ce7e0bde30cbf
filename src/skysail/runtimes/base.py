"""The interface of a runtime: how a model of one format is loaded and run. It lives in the worker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from skysail.errors import DeployError

__all__ = ["Artifact", "Outputs", "Runtime", "existing_file"]

Outputs = Sequence[Any] | NDArray[Any]
"""One output for each row of a batch, in the same order."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What is to be loaded, and how it may use the machine."""

    path: str
    """A file, `FILE.py:name`, or an import path `package.module:name`, as the runtime takes it."""

    threads: int = 1
    """Threads one prediction may use."""

    labels: tuple[Any, ...] | None = None
    """The class labels, in the order of the model's probabilities, for formats that do not hold them."""

    import_root: str = ""
    """Folder in which import paths are looked up first; none, if empty."""


class Runtime(ABC):
    """A loaded model.

    `predict` is called from one thread, one batch at a time. A batch of tensors is a NumPy array with the rows along
    axis 0, which the model may change; any other is a list with an object for each row (what JSON holds, `str` or
    `bytes`). It answers one output for each row, in the same order: an array, or a list of JSON values. A row's
    output must not depend on the other rows of its batch. It may raise anything: the worker finds the row at fault
    and answers the others.
    """

    name: ClassVar[str]
    """The name in the config file."""

    @classmethod
    @abstractmethod
    def load(cls, artifact: Artifact) -> Self:
        """The model, ready to predict; `DeployError` says what is wrong with the artifact, and the remedy."""

    @property
    def input(self) -> str | None:
        """The artifact's own declaration of one row, such as `float32[64]`; `None` where it makes none."""
        return None

    @abstractmethod
    def predict(self, batch: Any) -> Outputs:
        """One output for each row of the batch, in order."""

    def close(self) -> None:  # noqa: B027 - most models hold nothing to give back
        """Give back what the model holds. Closing twice is harmless; nothing is predicted afterwards."""


def existing_file(artifact: Artifact) -> Path:
    """The artifact's path, which must be a file that can be read."""
    path = Path(artifact.path)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise DeployError(f"model file {artifact.path} cannot be opened ({error.strerror}); check the path") from error
