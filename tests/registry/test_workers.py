from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from skysail.config.schema import ModelConfig
from skysail.registry.workers import version_spec, worker_specs
from skysail.types import ModelRef
from skysail.worker.main import WorkerSpec

REF = ModelRef("svm", 3)
RUN = Path("/tmp/skysail-x")


def config(**fields: object) -> ModelConfig:
    """A model's configuration."""
    return ModelConfig(name="svm", path="/a/svm.joblib", runtime="sklearn", **fields)  # type: ignore[arg-type]


def test_workers_and_frontends_meet_at_the_same_sockets() -> None:
    """Each replica has a socket of its own, where the worker listens and the frontend connects, in a path that fits."""
    children = worker_specs(REF, config(replicas=3), RUN)
    version = version_spec(REF, config(replicas=3), RUN)
    assert [(c.name, c.listen) for c in children] == [(r.name, r.socket) for r in version.replicas]
    assert len({r.socket for r in version.replicas}) == 3
    assert children == worker_specs(REF, config(replicas=3), RUN)


def test_the_worker_understands_its_spec() -> None:
    """What the parent will pass, with the descriptors it fills in, is a `WorkerSpec`."""
    (child,) = worker_specs(REF, config(threads=2, labels=("a", "b"), input="float32[4]"), RUN)
    fds = {f"{name}_fd": 9 for name in ("lifeline", *child.fds)}
    spec = msgspec.json.decode(msgspec.json.encode({**child.spec, **fds}), type=WorkerSpec)
    assert (spec.model, spec.version, spec.replica) == ("svm", 3, "svm@3/0")


def test_a_model_with_its_own_interpreter_gets_skysail_and_nothing_else() -> None:
    """Its environment's python runs the worker, with one folder on its path."""
    (plain,) = worker_specs(REF, config(), RUN)
    (own,) = worker_specs(REF, config(python="/venv/bin/python"), RUN)
    assert (plain.argv[0], plain.env) == (sys.executable, {})
    assert (own.argv[0], own.env) == ("/venv/bin/python", {"PYTHONPATH": "/tmp/skysail-x/lib"})
