"""Compiles the data path when a wheel is built: the same source, as C extensions made by mypyc.

A wheel is compiled where there is a C compiler, and pure Python (slower, the same in all else) where there is none or
`HATCH_BUILD_NO_HOOKS=true` is set. An editable install is never compiled.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from hashlib import sha256
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["COMPILED", "CompileHook"]

COMPILED = (
    "applications",
    "batching/batcher",
    "batching/estimator",
    "batching/hold",
    "batching/sizing",
    "batching/station",
    "batching/suspects",
    "cache/cache",
    "cache/cached",
    "cache/lru",
    "cache/sieve",
    "calls",
    "deadlines",
    "engine",
    "evaluation",
    "feedback/buffer",
    "feedback/inputs",
    "feedback/ledger",
    "feedback/reads",
    "feedback/recent",
    "feedback/records",
    "feedback/states",
    "feedback/stragglers",
    "http/answers",
    "http/bodies",
    "http/connection",
    "http/dataplane",
    "http/hub",
    "http/reader",
    "http/request",
    "http/response",
    "http/status",
    "ids",
    "pending",
    "replicas/replica",
    "rescue",
    "stats/application",
    "stats/histogram",
    "stats/means",
    "stats/quantile",
    "values",
)
"""What every query runs through, as paths under `src/skysail`. They know each other's classes, so they are one unit."""

_SETUP = """
from mypyc.build import mypycify
from setuptools import setup

setup(name="skysail", packages=[], ext_modules=mypycify({paths!r}, opt_level="3", debug_level="0"))
"""


class CompileHook(BuildHookInterface[Any]):
    """Adds the extensions to a wheel, beside the sources they were made of."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What building needs: the compiler, and the libraries whose types it looks at."""
        return ["mypy>=1.15", "setuptools>=65", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the install is editable or there is nothing to compile with."""
        if version == "editable":
            return
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None:
            self.app.display_warning(f"no C compiler ({compiler}): skysail will be pure Python, and slower")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        made = _compiled(Path(self.root))
        for extension in made.rglob("*.so"):
            build_data["force_include"][str(extension)] = str(extension.relative_to(made))


def _compiled(root: Path) -> Path:
    """The sources with the extensions beside them; made anew only when they have changed, for pip asks twice."""
    source = root / "src"
    files = sorted(path for path in source.rglob("*.py"))
    made_of = sha256(b"".join(path.read_bytes() for path in (Path(__file__), *files))).hexdigest()
    made = root / "build" / f"compiled-{sys.implementation.cache_tag}"
    stamp = made / "made-of"
    if stamp.is_file() and stamp.read_text() == made_of:
        return made
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made, ignore=shutil.ignore_patterns("__pycache__"))
    paths = ["--ignore-missing-imports", "--follow-imports=silent", *[f"skysail/{name}.py" for name in COMPILED]]
    (made / "setup.py").write_text(_SETUP.format(paths=paths))
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=made, check=True)
    shutil.rmtree(made / "build", ignore_errors=True)
    stamp.write_text(made_of)
    return made
