"""The benchmark of an ensemble: its arithmetic, its models, and that it measures what it says."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports of benchmarks by name; they are scripts of the repository, and no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: import_module(f"benchmarks.{name}")


def test_what_models_allow_is_by_all_cores_and_their_predicting_alone(module: Any) -> None:
    """Two models of 300 and 700 µs allow a thousand queries a second to each core; decoding does not count."""
    kind = module("zoo").Alone
    costs = {"a": kind(decode=1.0, predict=300e-6, wall=1.0), "b": kind(decode=1.0, predict=700e-6, wall=1.0)}
    assert module("ensemble").allowed(costs) == pytest.approx(1_000 * (os.cpu_count() or 1))


def test_requests_are_pictures(module: Any) -> None:
    """Each has 64 pixels, one of which is another number in each request."""
    mark = module("load").MARK
    for body in module("zoo").bodies(5):
        assert body.count(mark) == 1
        assert len(json.loads(body)["input"]) == 64


def test_a_model_runs_alone(module: Any, tmp_path: Path) -> None:
    """Decoding and predicting take processor time, together no more than the loop takes of all threads."""
    zoo = module("zoo")
    zoo.train(tmp_path, ["linear", "mlp"])
    for name in ("linear", "mlp"):
        alone = zoo.run_alone(tmp_path, name, 8, 0.02)
        assert min(alone.decode, alone.predict, alone.wall) > 0
        assert alone.cpu == alone.decode + alone.predict


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="processes are looked at in /proc")
def test_a_small_run(module: Any) -> None:
    """All five are asked, each has its cost, and the share is of what they allow."""
    ensemble = module("ensemble")
    report = ensemble.measure_ensemble(1, 0.3)
    [seen] = report.data["rounds"]
    assert set(seen["models"]) == set(ensemble.FIVE)
    assert all(it["rows"] > 0 < it["predict_us"] for it in seen["models"].values())
    assert report.data["shares"][0] > 0
    assert "of what the five models allow" in str(report)
