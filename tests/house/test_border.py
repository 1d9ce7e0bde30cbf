"""The borders between processes: what importing an entry point loads, seen in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys

PROBE = """
import json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    __import__(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(*names: str) -> set[str]:
    """The modules that importing these adds to a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *names], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def roots(modules: set[str]) -> set[str]:
    """The top-level names of modules."""
    return {name.partition(".")[0] for name in modules}


def test_a_frontend_loads_no_framework() -> None:
    """Neither a model's library, nor the control plane's, nor the command line's is in a frontend."""
    loaded = loaded_by("skysail.http.main", "skysail.engine")
    strangers = {"sklearn", "joblib", "skops", "lightgbm", "onnxruntime", "torch", "pandas", "scipy", "matplotlib"}
    strangers |= {"starlette", "uvicorn", "prometheus_client", "httpx", "typer", "click", "rich"}
    assert not roots(loaded) & strangers


def test_a_frontend_loads_no_worker() -> None:
    """The code that runs models stays out of the process that asks them."""
    loaded = loaded_by("skysail.http.main", "skysail.engine")
    assert not {name for name in loaded if name.startswith(("skysail.worker", "skysail.runtimes", "skysail.admin"))}


def test_a_worker_loads_what_it_needs_alone() -> None:
    """A worker is the wire, the runtimes and the plain types: nothing of the engine, the HTTP server or the stores."""
    ours = {name.split(".")[1] for name in loaded_by("skysail.worker.main") if name.startswith("skysail.")}
    assert ours <= {"worker", "wire", "runtimes", "types", "values", "inputs", "errors", "clock", "malloc"}


def test_a_worker_needs_only_msgspec_numpy_and_simdjson() -> None:
    """A model's own environment needs these libraries beside the model's own."""
    loaded = roots(loaded_by("skysail.worker.main", "skysail.worker.batch", "skysail.worker.decode"))
    loaded -= {"typing_extensions"}  # which msgspec uses where it is installed
    loaded = {name for name in loaded if not name.startswith(("_cython", "cython"))}  # made by simdjson's extension
    assert loaded - sys.stdlib_module_names <= {"skysail", "msgspec", "numpy", "simdjson", "csimdjson"}


def test_the_package_root_loads_nothing() -> None:
    """`import skysail` is free: its public names are loaded when they are asked for."""
    loaded = loaded_by("skysail")
    assert {name for name in loaded if name.startswith("skysail.")} == set()
    assert roots(loaded) - sys.stdlib_module_names == {"skysail"}


def test_the_parent_loads_nothing_heavy() -> None:
    """The process that outlives all others holds no server, no array library and no event loop but the standard one."""
    strangers = {"numpy", "uvloop", "httptools", "starlette", "uvicorn", "typer", "rich", "prometheus_client", "httpx"}
    assert not roots(loaded_by("skysail.supervisor.main")) & strangers
