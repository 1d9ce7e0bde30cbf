"""A table of the configuration: which keys it may have, and all that is wrong with one that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from skysail.config.values import Convert
from skysail.errors import ConfigError, nearest

__all__ = ["Problems", "Section", "dotted", "shown"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Problems:
    """What is wrong with a configuration, gathered so that one run reports all of it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Note one problem: a sentence that begins with the key's dotted path."""
        self.found.append(f"{self.source}: {problem}" if self.source else problem)

    def raise_found(self) -> None:
        """Raise `ConfigError` with a line for each problem, if there is any."""
        if self.found:
            raise ConfigError("\n".join(self.found))


@dataclass(frozen=True, kw_only=True)
class Section:
    """The keys of one table, each with what reads its value; a table within the table is a section of its own."""

    keys: Mapping[str, Convert | Section]
    """The keys that are known."""

    required: tuple[str, ...] = ()
    """Those that must be given."""

    def read(self, where: str, raw: Any, problems: Problems) -> dict[str, Any] | None:
        """The values that are given, converted; `None` where anything is wrong, which `problems` then tells."""
        before = len(problems.found)
        if not isinstance(raw, Mapping):
            problems.add(f"{where} = {shown(raw)}: must be a table of keys ({', '.join(self.keys)})")
            return None
        for key in self.required:
            if key not in raw:
                problems.add(f"{where}: key '{key}' is missing; add it")
        values = {key: self._read_key(dotted(where, key), key, value, problems) for key, value in raw.items()}
        return values if len(problems.found) == before else None

    def _read_key(self, where: str, key: str, value: Any, problems: Problems) -> Any:
        reader = self.keys.get(key)
        if reader is None:
            problems.add(f"{where} = {shown(value)}: unknown key ({nearest(str(key), self.keys)})")
        elif isinstance(reader, Section):
            return reader.read(where, value, problems)
        else:
            try:
                return reader(value)
            except ConfigError as error:
                problems.add(where.removesuffix(key) + error.message)
            except ValueError as error:
                problems.add(f"{where} = {shown(value)}: {error}")
        return None


def dotted(where: str, key: object) -> str:
    """The path of a key within a table, as TOML writes it.

    >>> dotted("models.svm", "path"), dotted("apps", "my app")
    ('models.svm.path', 'apps."my app"')
    """
    name = key if isinstance(key, str) and _BARE.fullmatch(key) else shown(str(key))
    return f"{where}.{name}" if where else str(name)


def shown(value: Any) -> str:
    """A value in a message: as JSON, which for all but tables is how TOML writes it, and not too long.

    >>> shown(True), shown("x"), shown([1, 2])
    ('true', '"x"', '[1,2]')
    """
    try:
        written = msgspec.json.encode(value, enc_hook=str).decode()
    except (ValueError, TypeError, OverflowError, RecursionError):
        written = ascii(value)
    return written if len(written) <= 80 else written[:77] + "…"
