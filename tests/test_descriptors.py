"""The room for descriptors."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, resource, sys
from skysail.descriptors import make_room
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
opened = len(os.listdir("/proc/self/fd"))
make_room()
[size] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("FDSize")]
print(*resource.getrlimit(resource.RLIMIT_NOFILE), size, len(os.listdir("/proc/self/fd")) - opened)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the size of the table is looked up in /proc")
@pytest.mark.parametrize(("soft", "hard", "size"), [(256, 4096, 4096), (1024, 1024, 1024), (512, 600, 640)])
def test_the_table_is_made_as_long_as_it_may_get(soft: int, hard: int, size: int) -> None:
    """The soft limit is raised, and the table has room for all that it allows; no descriptor is left open for it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard)], capture_output=True, check=True, text=True
    )
    limit, most, table, left = map(int, done.stdout.split())
    assert (limit, most, left) == (hard, hard, 0)
    assert size <= table <= 2 * size


REFUSED = """
import resource
from skysail.descriptors import make_room
before = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
def refuse(*limits):
    raise ValueError("current limit exceeds maximum limit")
resource.setrlimit = refuse
make_room()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_a_limit_that_cannot_be_raised_is_lived_with() -> None:
    """A frontend starts all the same."""
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, check=True, text=True)
    assert done.stdout == "256\n"
