"""Skysail as a user would start it: one TOML file with the full path on, and `skysail serve` in this process.

Admission, policy `single`, the cache, metrics, and a record of each decision in SQLite. Everything that is not written
here is the default.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.peers.servers.shared import FLOATS, MODEL, PORT

__all__ = ["configuration"]

_CONFIG = """
[server]
port = {port}
admin_port = {admin_port}
cache = {{ bytes = "8MiB" }}
{models}
[apps.bench]
models = ["m0"]
policy = "single"
slo = "{slo}"
"""

_MODEL = """
[models.m{number}]
path = "{path}"
input = "float32[{floats}]"
"""

_NOOP = "def predict(batch):\n    return [7] * len(batch)\n"


def configuration(path: Path | str, floats: int, slo: str, *, models: int = 1, port: int = 8000) -> str:
    """The file, with so many models that are all the same, of which the application uses one. The cache is small enough
    to be full when the warm-up ends, so that each output kept costs another its place.
    """
    tables = "".join(_MODEL.format(number=number, path=path, floats=floats) for number in range(models))
    return _CONFIG.format(port=port, admin_port=port + 1, models=tables, slo=slo)


def _main() -> None:
    path: Path | str = MODEL.with_suffix(".joblib")
    if MODEL.name.startswith("noop"):
        Path("noop.py").write_text(_NOOP)
        path = "noop.py:predict"
    slo, models = os.environ.get("BENCH_SLO", "50ms"), int(os.environ.get("BENCH_MODELS", "1"))
    Path("skysail.toml").write_text(configuration(path, FLOATS, slo, models=models, port=PORT))
    command = [sys.executable, "-m", "skysail.cli.main", "serve", "skysail.toml"]
    os.execv(sys.executable, command)  # noqa: S606 - that there is no shell is meant


if __name__ == "__main__":
    _main()
