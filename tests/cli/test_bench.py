from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skysail.bench.run import Options


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small config that is right, with a token."""
    (tmp_path / "rules.py").write_text("def predict(batch):\n    return batch\n")
    path = tmp_path / "skysail.toml"
    path.write_text(
        '[server]\ntoken_env = "SECRET"\n[models.rules]\npath = "rules.py:predict"\n[apps.a]\nmodels = ["rules"]\n'
    )
    return path


def test_bench_passes_its_options_on(invoke: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given is what is measured, with the file's token; the exit code is that of the run."""
    seen: list[tuple[Options, str | None]] = []

    def run(config: Any, options: Options, *, token: str | None = None) -> int:
        seen.append((options, token))
        return 7

    monkeypatch.setattr("skysail.bench.run.run", run)
    monkeypatch.setenv("SECRET", "sesame")
    assert invoke("bench", str(config)).code == 7
    given = ("--app", "a", "--rate", "100,2.5e3", "--slo", "20ms", "--seconds", "2", "--rows", "r", "--plot", "p")
    assert invoke("bench", str(config), *given, "--json").code == 7
    whole = Options(
        file=str(config),
        app="a",
        rates=(100.0, 2500.0),
        slo=0.02,
        seconds=2.0,
        rows=Path("r"),
        plot=Path("p"),
        as_json=True,
    )
    assert seen == [(Options(file=str(config)), "sesame"), (whole, "sesame")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--rate", "many"), "--rate many: must be numbers"),
        (("--rate", "100,0"), "--rate 100,0: each must be above 0"),
        (("--rate", "inf"), "each must be above 0"),
        (("--slo", "20"), "--slo 20: must be a duration"),
    ],
)
def test_options_that_cannot_be(
    invoke: Callable[..., Any], config: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], said: str
) -> None:
    """Wrong numbers are exit code 2, with what to write instead."""
    monkeypatch.setenv("SECRET", "sesame")
    done = invoke("bench", str(config), *given)
    assert done.code == 2
    assert said in done.err
