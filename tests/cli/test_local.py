from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from skysail.config.schema import Config
from skysail.demo.run import Options


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small config that is right."""
    (tmp_path / "rules.py").write_text("def predict(batch):\n    return batch\n")
    path = tmp_path / "skysail.toml"
    path.write_text(
        '[server]\nport = 4000\n[models.rules]\npath = "rules.py:predict"\n'
        '[apps.a]\nmodels = ["rules"]\npolicy = "adahedge"\nslo = "30ms"\n'
    )
    return path


def test_check_tells_what_a_file_serves(invoke: Callable[..., Any], config: Path) -> None:
    """A right file is summed up, and the exit code is 0."""
    done = invoke("check", str(config))
    assert done.code == 0
    assert "model rules: python" in done.out
    assert "app a: adahedge over rules, within 30 ms" in done.out
    assert done.out.endswith("is right\n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"adahedge"', '"adahege"', "did you mean 'adahedge'?"),
        ("slo", "sla", "slo"),
        ("rules.py:predict", "rule.py:predict", "rule.py"),
        ("[apps.a]", "[apps.a", "line"),
    ],
)
def test_check_names_what_is_wrong(invoke: Callable[..., Any], config: Path, old: str, new: str, said: str) -> None:
    """Every kind of mistake in a file is exit code 2 with the remedy, the policy's name included."""
    config.write_text(config.read_text().replace(old, new))
    done = invoke("check", str(config))
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), ("127.0.0.1", 4000, 8002)),
        (("--port", "0", "--admin-port", "0", "--host", "0.0.0.0"), ("0.0.0.0", 0, 0)),
    ],
)
def test_serve_takes_options_before_the_file(
    invoke: Callable[..., Any],
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: tuple[str, int, int],
) -> None:
    """Host and ports on the command line replace the file's, also where they are 0; its code is the server's."""
    served: list[Config] = []

    def run(config: Config) -> int:
        served.append(config)
        return 7

    monkeypatch.setattr("skysail.cli.serve.run", run)
    assert invoke("serve", str(config), *arguments).code == 7
    server = served[0].server
    assert (server.host, server.port, server.admin_port) == expected


def test_demo_passes_its_options_on(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given is what the demo runs with, the rest is its own defaults."""
    seen: list[Options] = []

    def run(options: Options) -> int:
        seen.append(options)
        return 0

    monkeypatch.setattr("skysail.demo.run.run", run)
    assert invoke("demo").code == 0
    given = ("--seconds", "9", "--seed", "4", "--rate", "50", "--folder", "x", "--keep", "--plain")
    assert invoke("demo", *given).code == 0
    assert seen == [Options(), Options(seconds=9, seed=4, rate=50, folder=Path("x"), keep=True, plain=True)]


def test_version_is_the_packages(invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed package's version, or that there is none."""
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.3")
    assert invoke("version").out == "skysail 1.2.3\n"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert "not installed" in invoke("version").out
