"""Compiles the data path when a wheel is built: the same source, as C extensions made by mypyc.

A wheel is compiled where there is a C compiler, and pure Python (slower, the same in all else) where there is none or
`HATCH_BUILD_NO_HOOKS=true` is set. An editable install is never compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["COMPILED", "CompileHook"]

COMPILED = (
    "applications",
    "batching/batcher",
    "batching/estimator",
    "batching/sizing",
    "batching/suspects",
    "cache/cache",
    "cache/cached",
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
    "stats/application",
    "stats/histogram",
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
        source = Path(self.directory, "compiled")
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(Path(self.root, "src"), source, ignore=shutil.ignore_patterns("__pycache__"))
        _compile(source)
        for extension in source.rglob("*.so"):
            build_data["force_include"][str(extension)] = str(extension.relative_to(source))


def _compile(source: Path) -> None:
    paths = [f"skysail/{name}.py" for name in COMPILED]
    (source / "setup.py").write_text(_SETUP.format(paths=["--ignore-missing-imports", "--follow-imports=silent", *paths]))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--build-temp", "../objects"]
    subprocess.run(command, cwd=source, check=True, env=os.environ | {"MYPY_CACHE_DIR": "../mypy"})
    shutil.rmtree(source / "build", ignore_errors=True)
