"""Code of one's own that a configuration names: where its file is, and what tells one version of it from another."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

__all__ = ["code_digest", "source_file"]


def source_file(path: str, root: str | Path) -> Path | None:
    """The file of `FILE.py:Class` or `package.module:Class`, looked up from a folder.

    `None` for a name without a colon, and for a module that is not under the folder (one that was installed).
    """
    source, colon, _ = path.rpartition(":")
    if not colon:
        return None
    if source.endswith(".py"):
        return Path(root) / source
    base = Path(root).joinpath(*source.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def code_digest(paths: Iterable[str], root: str | Path) -> str:
    """Changes when one of the files does that these paths lead to; empty where they lead to none that can be read."""
    digest, found = blake2b(digest_size=8), False
    for path in paths:
        file = source_file(path, root)
        try:
            data = b"" if file is None else file.read_bytes()
        except OSError:
            continue
        digest.update(len(data).to_bytes(8) + data)
        found = found or file is not None
    return digest.hexdigest() if found else ""
