"""The guard in `conftest.py`: a blocking call on a running event loop fails its test."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from skysail.testing.loop import run


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(lambda: time.sleep(0), id="sleep"),
        pytest.param(lambda: socket.getaddrinfo("127.0.0.1", 80), id="getaddrinfo"),
        pytest.param(lambda: subprocess.run([sys.executable, "-c", ""], check=True), id="run"),
    ],
)
def test_a_blocking_call_on_the_loop_is_an_error(block: Callable[[], Any]) -> None:
    """The call raises on the loop, and is left alone off it and in a thread."""
    block()

    async def main() -> None:
        await asyncio.to_thread(block)
        with pytest.raises(RuntimeError, match="blocks the event loop"):
            block()

    run(main())
