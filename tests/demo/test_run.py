from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from skysail.demo import run as demo
from skysail.demo.digits import Digits
from skysail.demo.models import CONFIG
from skysail.demo.run import Options, prepare, run, slo_ms
from skysail.errors import ConfigError, DeployError, SkysailError


def is_open(url: str) -> bool:
    """Whether somebody listens at an address."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_from_beginning_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A short run on a real server: exit code 0, no failed request, a plot, and no server left behind."""
    folder = tmp_path / "demo"
    assert run(Options(seconds=12.0, rate=30.0, folder=folder, plain=True)) == 0
    said = capsys.readouterr().out
    assert "360 queries, 360 labels taught" in said
    assert "No request failed." in said
    assert "The bad release was live from" in said
    equal, compared = re.findall(r"(\d+) of (\d+) outputs", said)[0]
    assert equal == compared != "0"
    assert (folder / "demo.png").read_bytes().startswith(b"\x89PNG")
    addresses = re.findall(r"Serving at (\S+), control plane at (\S+)\.\n", said)[0]
    assert not any(map(is_open, addresses))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_its_server_along(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM in the middle of the run end it with code 130, and the server with it."""
    options = ["--plain", "--rate", "20", "--folder", str(tmp_path / "demo")]
    # What runs in the background of a shell inherits that Ctrl-C is ignored; this is to run as if in the foreground.
    foreground = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{foreground}; from skysail.cli.main import main; main()"
    command = [sys.executable, "-c", start, "demo", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = next(line for line in child.stdout if line.startswith("Serving at"))
        addresses = re.findall(r"http://[^\s,]+(?<!\.)", line)
        assert all(map(is_open, addresses))
        child.send_signal(number)
        rest = child.stdout.read()
    assert child.returncode == 130
    assert "Interrupted; the server has ended." in rest
    assert not any(map(is_open, addresses))


def test_a_folder_is_prepared_without_the_state_of_before(tmp_path: Path) -> None:
    """A demo's folder may be used again: what was learned is forgotten, the rest stays."""
    folder = tmp_path / "demo"
    assert prepare(folder) == folder
    folder.mkdir()
    assert prepare(folder) == folder
    shutil.copyfile(Path(demo.__file__).parent / CONFIG, folder / CONFIG)
    (folder / ".skysail").mkdir()
    (folder / ".skysail" / "state.db").touch()
    (folder / "demo.png").touch()
    prepare(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["demo.png", CONFIG]


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """What is not a demo's is neither overwritten nor deleted."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not empty and holds no demo: name another folder"):
        prepare(tmp_path)
    (tmp_path / CONFIG).write_text("[server]\n")
    (tmp_path / ".skysail").mkdir()
    with pytest.raises(ConfigError, match="is not this demo's"):
        prepare(tmp_path)
    assert (tmp_path / ".skysail").is_dir()


def test_the_objective_is_the_configs(trained: tuple[Path, Digits]) -> None:
    """Latencies are shown against the objective that the server has."""
    folder, _ = trained
    assert f'slo = "{slo_ms(folder):g}ms"' in (folder / CONFIG).read_text()


def test_the_first_error_of_several_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ran side by side fails in groups; whoever called sees the error itself."""

    async def fails(*_: object) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [DeployError("no"), ValueError("late")])])

    monkeypatch.setattr(demo, "_demo", fails)
    with pytest.raises(SkysailError, match="no"):
        run(Options(folder=tmp_path))


def test_a_cancelled_demo_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code of an interrupted command is 130."""

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(demo, "_demo", cancelled)
    assert run(Options(folder=tmp_path)) == 130
    assert "Interrupted" in capsys.readouterr().out
