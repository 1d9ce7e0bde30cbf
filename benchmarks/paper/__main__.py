"""All experiments, or those that are named.

    python -m benchmarks.paper                    # everything, in under twenty minutes on two cores
    python -m benchmarks.paper --quick            # less of everything, in under three
    python -m benchmarks.paper failure delay --folder docs/paper

Exits 1 where a goal is missed; goals that are missed are printed like those that are met.
"""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.paper.harness import Experiment, main

__all__ = ["EXPERIMENTS", "experiments"]

EXPERIMENTS = (
    "failure", "ensembles", "confidence", "stragglers", "personalisation", "delay", "spike", "scale", "batching",
    "delayed",
)  # fmt: skip
"""The modules that each define an `EXPERIMENT`, in the order they are run."""


def experiments() -> list[Experiment]:
    """Each module's experiment."""
    return [import_module(f"benchmarks.paper.{name}").EXPERIMENT for name in EXPERIMENTS]


if __name__ == "__main__":
    sys.exit(main(experiments()))
