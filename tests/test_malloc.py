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
