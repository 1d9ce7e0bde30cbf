from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from skysail.config.load import load_config
from skysail.demo.digits import Digits
from skysail.demo.models import APP, BAD_RELEASE, BEST, CONFIG, MODELS, main, train
from skysail.errors import MissingExtra


def test_the_config_fits_the_models(trained: tuple[Path, Digits]) -> None:
    """The folder's config loads and lists the five models, of four runtimes, in the order the demo counts on."""
    folder, _ = trained
    config = load_config(folder / CONFIG)
    assert config.apps[APP].models == MODELS == tuple(config.models)
    assert {model.runtime for model in config.models.values()} == {"sklearn", "onnx", "lightgbm", "python"}
    assert BEST in MODELS
    assert (folder / BAD_RELEASE).is_file()


@pytest.mark.parametrize("library", ["joblib", "skl2onnx", "lightgbm"])
def test_without_a_framework_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """A library that is not installed is named, with what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    for step in ("_write_sklearn", "_write_onnx", "_write_lightgbm"):
        if (
            library not in step
            and not (library == "joblib" and "sklearn" in step)
            and not (library == "skl2onnx" and "onnx" in step)
        ):
            monkeypatch.setattr(f"skysail.demo.models.{step}", lambda *_: None)
    with pytest.raises(MissingExtra, match=rf"{library}.*skysail\[demo\]"):
        train(tmp_path)


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The module as a command trains into the folder with the seed, and names the command that serves it."""
    calls: list[tuple[Path, int]] = []
    monkeypatch.setattr("skysail.demo.models.train", lambda folder, seed: calls.append((folder, seed)))
    main([str(tmp_path), "--seed", "7"])
    assert calls == [(tmp_path, 7)]
    assert capsys.readouterr().out == f"serve them with: skysail serve {tmp_path / CONFIG}\n"


def test_the_module_can_be_run() -> None:
    """`python -m skysail.demo.models` explains itself."""
    command = [sys.executable, "-m", "skysail.demo.models", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "FOLDER" in done.stdout.upper()
