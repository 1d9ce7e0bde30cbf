"""Reading what children print and report, line by line, from pipes, without ever waiting for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["LineSplitter", "PipeLines"]


class LineSplitter:
    r"""Bytes in, whole lines of text out; a line over `limit` bytes is cut into several.

    >>> splitter = LineSplitter(limit=8)
    >>> splitter.feed(b"one\ntw"), splitter.feed(b"o\r\nincomprehensible"), splitter.end()
    (['one'], ['two', 'incompre', 'hensible'], [])
    """

    def __init__(self, limit: int = 16384) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines = [piece for line in whole for piece in self._cut(line)]
        while len(self._rest) >= self._limit:
            lines.append(_text(self._rest[: self._limit]))
            self._rest = self._rest[self._limit :]
        return lines

    def end(self) -> list[str]:
        """What is left when no more will come."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []

    def _cut(self, line: bytes) -> list[str]:
        if len(line) <= self._limit:
            return [_text(line)]
        return [_text(line[i : i + self._limit]) for i in range(0, len(line), self._limit)]


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="replace")


class PipeLines:
    """The read end of a pipe, watched by the running loop; each line goes to a callback. Owns the descriptor."""

    def __init__(self, fd: int, line: Callable[[str], None]) -> None:
        self._fd = fd
        self._line = line
        self._splitter = LineSplitter()
        self._open = False

    def start(self) -> None:
        """Watch from now on."""
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        self._open = True

    def finish(self) -> None:
        """Take what is in the pipe and close it, whoever else still holds its other end. Harmless when done already."""
        while self._open and self._read():
            pass
        self._close()

    def _read(self) -> bool:
        """Pass on what has come; whether there may be more now."""
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._pass(self._splitter.feed(data))
        if not data:
            self._close()
        return bool(data)

    def _close(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._pass(self._splitter.end())

    def _pass(self, lines: list[str]) -> None:
        for line in lines:
            self._line(line)
