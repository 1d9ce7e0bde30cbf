from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import skysail.demo
from skysail.cli.main import main
from skysail.demo.models import CONFIG
from skysail.demo.models import main as make_models

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.mark.parametrize("name", [CONFIG, "centroid.py"])
def test_the_example_is_what_the_demo_serves(name: str) -> None:
    """The demo's own copies are the same to the byte, so that running the demo runs the example."""
    assert (EXAMPLE / name).read_bytes() == (Path(skysail.demo.__file__).parent / name).read_bytes()


def test_its_models_are_made_as_its_readme_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the command of the README, `skysail check` finds everything that the config names."""
    folder = tmp_path / "digits"
    shutil.copytree(EXAMPLE, folder)
    make_models([str(folder)])
    with pytest.raises(SystemExit) as caught:
        main(["check", str(folder / CONFIG)])
    assert caught.value.code == 0
    assert capsys.readouterr().out.count("\nmodel ") == 5


def test_the_readme_names_every_file(tmp_path: Path) -> None:
    """The table of files lists what is made, and nothing else."""
    make_models([str(tmp_path)])
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    told = {line.split("`")[1] for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("| `")}
    assert told == made
