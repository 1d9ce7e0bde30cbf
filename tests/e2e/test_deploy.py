"""Versions and configurations change under load, and no request fails."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site

    Cli = Callable[..., subprocess.CompletedProcess[str]]

ZOO = str(Path(__file__).with_name("zoo.py"))

CONFIG = """
[models]
word = { path = "ZOO:echo" }
sum = { path = "ZOO:total", input = "float32[64]" }
centroid = { path = "centroid.py:predict", input = "float32[64]" }

[apps]
words = { models = ["word"], slo = "20s" }
pictures = { models = ["sum", "centroid"], policy = "adahedge", slo = "20s" }
spare = { models = ["word"], slo = "20s" }
"""

APPLIED = """
[models]
word = { path = "ZOO:echo" }
loud = { path = "ZOO:shout" }
sum = { path = "ZOO:total", input = "float32[64]" }
centroid = { path = "centroid.py:predict", input = "float32[64]" }

[apps]
words = { models = ["loud", "word"], policy = { name = "vote" }, slo = "15s", default = "?" }
pictures = { models = ["sum", "centroid"], policy = "adahedge", slo = "20s" }
"""


@pytest.fixture(scope="module")
def folder(trained: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts, good and bad."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(trained[0] / "models", folder / "models")
    shutil.copy(trained[0] / "centroid.py", folder)
    joblib = (folder / "models" / "svm.joblib").read_bytes()
    (folder / "models" / "corrupt.joblib").write_bytes(joblib[: len(joblib) // 2])
    (folder / "models" / "corrupt.onnx").write_bytes(b"\x08\x07\x12\x04nope")
    return folder


@pytest.fixture(scope="module")
def site(serving: Callable[..., AbstractContextManager[Site]], folder: Path) -> Iterator[Site]:
    """One application of words, whose model changes, and one of pictures, which learns."""
    with serving(folder, CONFIG, troubled=True) as site:
        yield site


def current(site: Site, model: str) -> int:
    """The version that answers now."""
    number: int = site.get(f"/models/{model}")["current"]
    return number


def test_a_good_version_under_load(site: Site) -> None:
    """It becomes current with no failed request; from then on each answer is its own, of inputs in the cache too."""
    with site.load("words", lambda n: f"w{n % 20}") as load:
        site.wait(lambda: len(load.asked) > 60)
        before = current(site, "word")
        deployed = site.deploy("word", f"{ZOO}:shout")
        switched = time.monotonic()
        assert deployed.json() == {"model": "word", "version": before + 1}, deployed.text
        asked = len(load.asked)
        site.wait(lambda: len(load.asked) > asked + 60)
    assert current(site, "word") == before + 1
    assert not load.failed
    for it in load.asked:
        new = it.body["models"] == [f"word@{before + 1}"]
        assert it.body["output"] == (f"{it.row}!" if new else it.row)
        assert new or it.began < switched
    assert site.status()["models"]["word"]["cache"]["hits"] > 0
    site.wait(lambda: f"word@{before}/0" not in site.pids())


@pytest.mark.parametrize(
    ("model", "path", "settings", "reason"),
    [
        ("sum", "models/corrupt.joblib", {}, "models/corrupt.joblib"),
        ("sum", "models/corrupt.onnx", {}, "models/corrupt.onnx"),
        ("word", "ZOO:Unloadable", {}, "the weights are not where they were"),
        ("word", "ZOO:ech", {}, "did you mean 'echo'?"),
        ("word", "ZOO:strict", {}, "cannot answer 1 rows"),
        ("sum", "ZOO:total", {"input": "float32[65]"}, "centroid@1"),
        ("centroid", "centroid.py:predict", {"input": "float32[63]"}, "63"),
        ("word", "no.such.module:f", {}, "no.such"),
    ],
)
def test_a_broken_version(site: Site, model: str, path: str, settings: dict[str, Any], reason: str) -> None:
    """A deployment that fails says why, and changes nothing: the current version stays and answers every request."""
    site.predict("words", "a sample for the newcomer")
    row = {"words": "w", "pictures": [1.0] * 64}
    app = "words" if model == "word" else "pictures"
    before = current(site, model)
    with site.load(app, lambda n: row[app]) as load:
        refused = site.deploy(model, path.replace("ZOO", ZOO), **settings)
        asked = len(load.asked)
        site.wait(lambda: len(load.asked) > asked + 5)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "deploy_failed"), refused.text
    assert reason in refused.json()["error"]["message"]
    assert not load.failed
    assert current(site, model) == before
    assert len(site.get(f"/models/{model}")["versions"]) == before
    site.wait(lambda: {name for name in site.pids() if name.startswith(model)} == {f"{model}@{before}/0"})


@pytest.mark.parametrize(
    ("path", "settings", "status", "code", "reason"),
    [
        ("models/nothing.joblib", {}, 400, "config", "no file at"),
        ("models/svm.pickled", {}, 400, "config", "runtime"),
        ("ZOO:echo", {"timeuot": "1s"}, 400, "config", "did you mean 'timeout'?"),
        ("ZOO:echo", {"timeout_s": -1}, 400, "invalid_request", "timeout_s"),
    ],
)
def test_an_impossible_deployment(
    site: Site, path: str, settings: dict[str, Any], status: int, code: str, reason: str
) -> None:
    """What cannot even be tried is refused at once."""
    refused = site.deploy("word", path.replace("ZOO", ZOO), **settings)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert reason in refused.json()["error"]["message"]


def test_rolling_back(site: Site, cli: Cli) -> None:
    """The version before is current again, with no failed request and with its own answers."""
    with site.load("words", lambda n: f"r{n % 20}") as load:
        done = cli("rollback", "word", 1, "--admin-url", site.admin_url)
        switched = time.monotonic()
        asked = len(load.asked)
        site.wait(lambda: len(load.asked) > asked + 20)
    assert (done.returncode, done.stdout) == (0, "word@1 is current\n"), done.stderr
    assert not load.failed
    assert all(it.body["output"] == it.row for it in load.asked if it.began > switched)
    assert current(site, "word") == 1


def test_a_real_artifact_replaces_code(site: Site, trained: tuple[Path, Any]) -> None:
    """A version may be of another kind than the one before; it inherits what was learned of the model."""
    digits = trained[1]
    rows = list(zip(digits.held_out.tolist(), digits.held_out_labels.tolist(), strict=True))
    for row, label in rows[:10]:
        site.observe("pictures", site.predict("pictures", row)["prediction_id"], label)
    weights = site.status()["apps"]["pictures"]["weights"]
    assert weights["centroid"] > weights["sum"]
    version = site.deploy("sum", "models/logistic.skops").json()["version"]
    told = [site.predict("pictures", row) for row, _ in rows[20:40]]
    assert {tuple(it["models"]) for it in told} == {(f"sum@{version}", "centroid@1")}
    why = site.get(f"/predictions/{told[0]['prediction_id']}")["models"][0]
    assert why["output"] in range(10)
    assert site.status()["apps"]["pictures"]["weights"] == pytest.approx(weights)


def test_scaling_under_load(site: Site) -> None:
    """Replicas come and go with no failed request."""

    def connected(count: int) -> bool:
        replicas = site.status()["models"]["word"]["replicas"]
        return len(replicas) == count and all(it["connection"] == "ready" for it in replicas.values())

    with site.load("words", lambda n: f"s{n}") as load:
        for count in (3, 1):
            scaled = site.admin.put("/models/word/replicas", json={"replicas": count})
            assert (scaled.status_code, scaled.json()["replicas"]) == (200, count), scaled.text
            site.wait(lambda count=count: connected(count))
    assert not load.failed
    site.wait(lambda: len([name for name in site.pids() if name.startswith("word@")]) == 1)


def test_a_restart_keeps_everything(site: Site) -> None:
    """Current versions, older ones to roll back to, weights and decisions outlive the server; and what the file says
    does not overrule what was deployed since.
    """
    told = site.predict("pictures", [2.0] * 64)
    site.observe("pictures", told["prediction_id"], 3)
    before = site.status()
    models = site.get("/models")
    assert models["models"]["sum"]["current"] > 1
    site.stop()
    site.start()
    assert site.get("/models") == models
    after = site.status()
    assert after["apps"]["pictures"]["weights"] == pytest.approx(before["apps"]["pictures"]["weights"])
    assert site.get(f"/predictions/{told['prediction_id']}")["feedback"]["label"] == 3
    assert site.observe("pictures", told["prediction_id"], 4) == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert site.predict("pictures", [2.0] * 64)["models"] == told["models"]


def test_a_file_is_applied_under_load(site: Site, cli: Cli, write: Callable[..., Path]) -> None:
    """A model added, an objective, a policy and a default changed, an application gone: and no request fails."""
    numbers = count()
    assert site.predict("spare", "x")["output"] == "x"
    with site.load("words", lambda n: f"a{next(numbers) % 50}") as load:
        done = cli("apply", write(site.folder, APPLIED), "--admin-url", site.admin_url, "--json")
        asked = len(load.asked)
        site.wait(lambda: len(load.asked) > asked + 20)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["deployed"]["loud"] == 1
    assert (report["apps"], report["removed"], report["failed"]) == (["words"], ["spare"], {})
    assert not load.failed
    told = site.predict("words", "now")
    assert (told["models"], told["output"]) == (["loud@1", f"word@{current(site, 'word')}"], "now!")
    app = site.get("/apps/words")
    assert (app["slo_ms"], app["policy"], app["default"]) == (15000, "vote", "?")
    assert site.ask("spare", "x").status_code == 404
    again = cli("apply", site.config, "--admin-url", site.admin_url)
    assert again.stdout == "nothing to do: the server matches the file\n"
