from __future__ import annotations

import asyncio
import os

from hypothesis import given
from hypothesis import strategies as st

from skysail.supervisor.pipes import LineSplitter, PipeLines


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20)), st.data())
def test_any_split_gives_the_same_lines(lines: list[str], data: st.DataObject) -> None:
    """However the bytes are cut, in the middle of a character too, the lines are the same."""
    whole = "".join(line + "\n" for line in lines).encode()
    splitter, got = LineSplitter(), []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        got += splitter.feed(whole[:size])
        whole = whole[size:]
    assert got + splitter.end() == lines


@given(st.lists(st.binary(max_size=64)))
def test_no_line_is_over_the_limit(chunks: list[bytes]) -> None:
    """A child that never ends its lines costs bounded memory, and nothing of what it printed is lost."""
    splitter, lines = LineSplitter(limit=16), []
    for chunk in chunks:
        lines += splitter.feed(chunk)
    lines += splitter.end()
    assert all(len(line) <= 16 for line in lines)


def test_finish_takes_the_rest_though_somebody_holds_the_pipe_open() -> None:
    """What was written before the child ended is read, even when a grandchild still has the other end."""

    async def body() -> list[str]:
        lines: list[str] = []
        ours, theirs = os.pipe()
        pipe = PipeLines(ours, lines.append)
        pipe.start()
        os.write(theirs, b"one\ntwo")
        pipe.finish()
        pipe.finish()
        os.close(theirs)
        return lines

    assert asyncio.run(body()) == ["one", "two"]


def test_lines_come_as_they_are_written() -> None:
    """The loop passes lines on without being asked, and closes at the end of the file."""

    async def body() -> list[str]:
        lines: asyncio.Queue[str] = asyncio.Queue()
        ours, theirs = os.pipe()
        pipe = PipeLines(ours, lines.put_nowait)
        pipe.start()
        os.write(theirs, b"one\n")
        first = await lines.get()
        os.write(theirs, b"\xff")
        os.close(theirs)
        return [first, await lines.get()]

    assert asyncio.run(body()) == ["one", "\N{REPLACEMENT CHARACTER}"]
