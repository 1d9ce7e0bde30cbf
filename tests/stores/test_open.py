"""From an address to a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from skysail.errors import ConfigError
from skysail.stores.memory import MemoryStore
from skysail.stores.open import SCHEMES, open_store


def test_relative_to_the_config_file(tmp_path: Path) -> None:
    """Three slashes name a file from the config file's folder; folders on the way are made."""
    store = open_store("sqlite:///a/b/state.db", tmp_path)
    store.close()
    assert (tmp_path / "a" / "b" / "state.db").is_file()


def test_absolute(tmp_path: Path) -> None:
    """Four slashes name a file from the root."""
    store = open_store(f"sqlite:///{tmp_path}/state.db", Path("elsewhere"))
    store.close()
    assert (tmp_path / "state.db").is_file()


def test_memory() -> None:
    """`memory://` needs no place."""
    assert isinstance(open_store("memory://", Path()), MemoryStore)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlit:///x.db", r"no store is called 'sqlit' \(did you mean 'sqlite'\?\)"),
        ("redis://host", r"known: memory, sqlite"),
        ("state.db", r"no store is called 'state\.db'"),
        ("", r"known: memory, sqlite"),
        ("sqlite", r"no store is called 'sqlite'"),
        ("sqlite://state.db", r"write 'sqlite:///FILE' \(relative"),
        ("sqlite:///", "names no file"),
        ("memory://x", "write 'memory://'"),
    ],
)
def test_an_address_that_cannot_be_one(url: str, message: str) -> None:
    """A wrong address is a config error that names what is known."""
    with pytest.raises(ConfigError, match=message):
        open_store(url, Path())


def test_every_scheme_is_lower_case() -> None:
    """Schemes are looked up as they are written."""
    assert all(scheme == scheme.lower() for scheme in SCHEMES)
