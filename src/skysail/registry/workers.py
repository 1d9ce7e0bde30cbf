"""The processes a version needs, and where frontends find them: the same for the same version, whoever asks and when.

A restarted control plane therefore asks the parent for exactly what already runs.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from skysail.config.schema import ModelConfig, ReplicaSpec, VersionSpec
from skysail.supervisor.spec import ChildSpec
from skysail.types import ModelRef

__all__ = ["replica_names", "version_spec", "worker_specs"]


def replica_names(ref: ModelRef, replicas: int) -> list[str]:
    """The replicas of a version, by name.

    >>> replica_names(ModelRef("svm", 1), 2)
    ['svm@1/0', 'svm@1/1']
    """
    return [f"{ref}/{index}" for index in range(replicas)]


def version_spec(ref: ModelRef, config: ModelConfig, run: Path) -> VersionSpec:
    """A version as frontends are told of it."""
    names = replica_names(ref, config.replicas)
    replicas = tuple([ReplicaSpec(name=name, socket=_socket(run, name)) for name in names])
    return VersionSpec(config=config, version=ref.version, replicas=replicas)


def worker_specs(ref: ModelRef, config: ModelConfig, run: Path) -> list[ChildSpec]:
    """A version's workers, as the parent is asked to run them.

    A model with an interpreter of its own is run by it; Skysail is then found in a folder that holds nothing else, and
    every other module in the model's own environment.
    """
    return [_worker(name, ref, config, run) for name in replica_names(ref, config.replicas)]


def _worker(name: str, ref: ModelRef, config: ModelConfig, run: Path) -> ChildSpec:
    return ChildSpec(
        name=name,
        kind="worker",
        argv=(config.python or sys.executable, "-P", "-m", "skysail.worker.main"),
        spec={
            "model": ref.name,
            "version": ref.version,
            "replica": name,
            "runtime": config.runtime,
            "path": config.path,
            "input": config.input,
            "finite": config.finite,
            "threads": config.threads,
            "labels": config.labels,
            "import_root": config.import_root,
        },
        fds=("listen", "report"),
        listen=_socket(run, name),
        env={} if config.python is None else {"PYTHONPATH": str(run / "lib")},
    )


def _socket(run: Path, name: str) -> str:
    """A path that is short, whatever the model's name."""
    return str(run / "w" / f"{hashlib.blake2s(name.encode(), digest_size=8).hexdigest()}.sock")
