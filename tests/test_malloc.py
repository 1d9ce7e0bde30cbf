"""What the allocator is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from skysail.malloc import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(bytearray(1 << 22))
before = faults()
for _ in range(20):
    bytes(bytearray(1 << 22))
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another C library has no such setting")
def test_freed_buffers_are_kept() -> None:
    """A large buffer that is made again touches no page for the first time; without the setting, all of them."""
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, check=True, text=True).stdout)
        for mode in ("keep", "")
    )
    assert kept < 1000 < given_back


FLOOD = """
import os
from skysail.malloc import Spare, keep_memory
from skysail.testing.clock import ManualClock

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

keep_memory()
clock = ManualClock()
spare = Spare(clock)
blocks = [bytes(5000) for _ in range(12_000)]
kept = blocks[::7]
del blocks
flood = resident()
clock.advance(1.0)
spare.look()
soon = resident()
clock.advance(10.0)
spare.look()
later = resident()
assert all(len(it) == 5000 for it in kept)
print(flood, soon, later)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another C library has no such call")
def test_what_a_flood_leaves_behind_is_given_back() -> None:
    """Not at once, for it may come again, but at the next look; what lies between things in use too."""
    done = subprocess.run([sys.executable, "-c", FLOOD], capture_output=True, check=True, text=True)
    flood, soon, later = map(int, done.stdout.split())
    assert soon == flood
    assert later < flood - 30


FULL = """
import resource
from skysail.malloc import Spare
from skysail.testing.clock import ManualClock

clock = ManualClock()
spare = Spare(clock)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
clock.advance(10.0)
spare.look()
print("looked")
"""


def test_without_descriptors_it_looks_another_time() -> None:
    """A frontend that has as many connections as it may have goes on."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, check=True, text=True)
    assert done.stdout == "looked\n"
