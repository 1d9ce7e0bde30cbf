from __future__ import annotations

import os
import subprocess
import sys
import threading

from skysail.supervisor.lifeline import watch_lifeline


def test_the_end_of_the_pipe_is_told() -> None:
    """When the last holder of the other end is gone, and not before, the callback is called."""
    ours, theirs = os.pipe()
    gone = threading.Event()
    watch_lifeline(ours, gone.set, grace=1000)
    assert not gone.is_set()
    os.close(theirs)
    assert gone.wait(10)
    os.close(ours)


def test_a_process_that_hangs_is_ended() -> None:
    """One that does not end by itself within the grace is ended, whatever its main thread does."""
    ours, theirs = os.pipe()
    script = f"""
import time
from skysail.supervisor.lifeline import watch_lifeline
watch_lifeline({ours}, lambda: None, grace=0.05)
print("up", flush=True)
while True:
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], pass_fds=[ours], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        os.close(theirs)
        assert process.wait(20) == 1
    os.close(ours)
