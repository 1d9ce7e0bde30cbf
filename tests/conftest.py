"""What every test has: reproducible property tests, a clock, and an event loop that nothing may block."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import subprocess
import time
from random import Random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import settings

from skysail.testing.clock import ManualClock

# No deadline: a time limit on an example measures the machine. In CI the examples are the same each time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def _guard(module: ModuleType, name: str) -> None:
    """Make a function that blocks raise when it is called on a running event loop."""
    function = getattr(module, name)

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError(f"{module.__name__}.{name} blocks the event loop; await its asynchronous form")
        return function(*args, **kwargs)

    setattr(module, name, guarded)


_guard(time, "sleep")
_guard(socket, "getaddrinfo")
_guard(subprocess, "run")


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` are coroutines, run by asyncio itself."""
    return "asyncio"


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until it is advanced."""
    return ManualClock()


@pytest.fixture
def rng() -> Random:
    """Random numbers, the same in every run."""
    return Random(20260101)
