from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from skysail.config.load import load_config


def test_every_system_has_its_server_and_its_versions(module: Any) -> None:
    """Each command names a file of ours; each environment is pinned, with the packages that are reported."""
    systems, environments = module("systems").SYSTEMS, module("environments")
    servers = Path(systems["skysail"] and module("servers.shared").__file__).parent
    assert next(iter(systems)) == "skysail"
    for system in systems.values():
        (server,) = re.findall(r"benchmarks\.peers\.servers\.(\w+)", system.command)
        assert (servers / f"{server}.py").exists()
        if system.environment:
            assert environments.versions(system.environment, system.packages)


def test_requirements_are_pins_and_nothing_else(module: Any) -> None:
    """No address, no range: the same versions for all who measure, wherever they install from."""
    files = sorted(module("environments").REQUIREMENTS.glob("*.txt"))
    assert {file.stem for file in files} == {it.environment for it in module("systems").SYSTEMS.values()} - {""}
    for file in files:
        pins = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pins), file


def test_all_have_the_same_library_for_the_models(module: Any) -> None:
    """A model is trained once, by the version that runs the tests, and read by every system."""
    for file in module("environments").REQUIREMENTS.glob("*.txt"):
        pinned = dict(line.split("==") for line in file.read_text().splitlines() if "==" in line)
        assert pinned["scikit-learn"] == "1.9.1", file


@pytest.mark.parametrize(
    ("system", "answer", "label"),
    [
        ("skysail", '{"prediction_id":"1","output":3,"confidence":null}', 3),
        ("triton", '{"outputs":[{"name":"label","shape":[1,1],"data":[8]}]}', 8),
        ("mosec", '{\n  "label": 4\n}', 4),
        ("bentoml", "[5]", 5),
        ("fastapi", '{"detail":"no"}', None),
    ],
)
def test_labels_are_read_from_answers(module: Any, system: str, answer: str, label: int | None) -> None:
    """As each system writes them; an error has none."""
    assert module("systems").SYSTEMS[system].label_of(answer) == label


def test_our_configuration_is_one(module: Any, tmp_path: Path) -> None:
    """The full path is on: a policy, the cache, the state in SQLite; several models for the look at an idle server."""
    (tmp_path / "noop.py").write_text("def predict(batch):\n    return [7] * len(batch)\n")
    text = module("servers.skysail_serve").configuration("noop.py:predict", 784, "20ms", models=5, port=8100)
    file = tmp_path / "skysail.toml"
    file.write_text(text)
    config = load_config(file)
    assert len(config.models) == 5
    assert (config.apps["bench"].policy, config.apps["bench"].slo, config.apps["bench"].cache) == ("single", 0.02, True)
    assert (config.server.port, config.server.admin_port) == (8100, 8101)
    assert config.server.state.startswith("sqlite")


def test_a_python_that_is_too_new_is_refused(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what is needed and where it is."""
    environments = module("environments")
    monkeypatch.setattr(environments, "_OLDER", {"triton": (3, 11, 0)})
    monkeypatch.setattr(environments.sys, "version_info", (3, 13, 0))
    with pytest.raises(environments.BenchmarkError, match=r"needs a Python 3\.11 older than 3\.11\.0"):
        environments._base("triton")
    assert environments._base("mosec") == os.path.realpath(sys.executable)


def test_an_environment_that_cannot_be_made_says_why(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last words of what failed are in the error; nothing counts as installed."""
    environments = module("environments")
    (tmp_path / "peer.txt").write_text("# nothing\n")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(environments, "_base", lambda name: "/bin/false")
    with pytest.raises(environments.BenchmarkError, match="the environment of peer could not be made"):
        environments.interpreter("peer")
    assert not (tmp_path / "environments" / "peer").exists()
