from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_models_and_bodies_are_the_same_for_all(module: Any, tmp_path: Path) -> None:
    """What is right does not depend on the number in the place of the mark; a second run trains nothing."""
    workloads = module("workloads")
    made = workloads.make_workloads(tmp_path, ["linear64", "noop784"])
    linear, noop = made["linear64"], made["noop784"]
    assert set(noop.labels) == {7}
    assert len(linear.rows) == len(linear.labels) > 256
    row = linear.rows[0]
    for shape in ("plain", "nested", "v2"):
        body = linear.bodies(shape)[0]
        assert body.count(workloads.MARK) == 1
        assert json.loads(body)
        assert row in body
    assert json.loads(linear.bodies("v2")[0])["inputs"][0]["shape"] == [1, 64]
    assert json.loads(noop.bodies("nested")[0])["input"][0][1:] == json.loads(noop.rows[0])[1:]

    model = workloads.joblib.load(linear.file.with_suffix(".joblib"))
    rows = [json.loads(row.replace(workloads.MARK, "0.199999999999")) for row in linear.rows]
    assert model.predict(workloads.np.asarray(rows, dtype="float32")).tolist() == linear.labels
    written = linear.file.with_suffix(".joblib").stat().st_mtime_ns
    again = workloads.make_workloads(tmp_path, ["linear64"])["linear64"]
    assert again == linear
    assert linear.file.with_suffix(".joblib").stat().st_mtime_ns == written
