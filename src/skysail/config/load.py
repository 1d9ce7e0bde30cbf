"""Configurations in and out: from the file that somebody wrote, and to and from the bytes that processes hand on.

A file is read and checked once, by the parent or the command; children get the resolved configuration and trust it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skysail.config.resolve import CheckPolicy, resolve_config
from skysail.config.schema import Config, Topology
from skysail.errors import ConfigError

__all__ = ["decode_topology", "dump_config", "encode_topology", "load_config", "read_config"]

_T = TypeVar("_T", Config, Topology)


def load_config(
    path: str | Path,
    *,
    check_policy: CheckPolicy | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration in a TOML file, checked, with every path absolute.

    Policies live above this floor: pass `check_policy` to have their names and parameters checked as well. Raises
    `ConfigError` with one line for each problem, or `MissingExtra` for a library that a model needs.
    """
    file = Path(path).absolute()
    return resolve_config(
        _read_toml(file, str(path)), root=file.parent, source=str(path), check_policy=check_policy, environ=environ
    )


def dump_config(config: Config) -> bytes:
    """A resolved configuration as JSON, for a child process or another day; `read_config` is the inverse."""
    return msgspec.json.encode(config, enc_hook=_encode_path)


def read_config(data: bytes) -> Config:
    """What `dump_config` wrote; nothing is checked again but the types."""
    return _decode(data, Config)


def encode_topology(topology: Topology) -> bytes:
    """What a frontend is to serve, as JSON; `decode_topology` is the inverse."""
    return msgspec.json.encode(topology)


def decode_topology(data: bytes) -> Topology:
    """What `encode_topology` wrote."""
    return _decode(data, Topology)


def _read_toml(file: Path, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read ({error.strerror}); name a TOML file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not TOML: {error}") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{source}: a value is too deep or too long to be read; shorten it") from error


def _encode_path(value: Any) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"a configuration holds no {type(value).__name__}")


def _decode_path(kind: type, value: Any) -> Any:
    return kind(value)


def _decode(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_decode_path)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"no {kind.__name__.lower()} of this version: {error}; write it anew") from error
