from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skysail.bench import run as module
from skysail.bench.look import Span
from skysail.bench.run import Options, run
from skysail.bench.trial import Closed, Open, Trial
from skysail.config.schema import AppConfig, Config
from skysail.errors import ConfigError, SkysailError

APPS = {name: AppConfig(name=name, models=("m",), slo=0.1) for name in ("a", "b")}
CONFIG = Config(apps=APPS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(file="f"), r"2 applications: name one by --app \(a, b\)"),
        (Options(file="f", app="c"), "--app 'c' is not in the file"),
        (Options(file="f", app="a", slo=0.001), "at least 2ms"),
        (Options(file="f", app="a", rows=Path("none")), "--rows none cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_starts(options: Options, said: str) -> None:
    """An application that is not there, or an objective or a file that cannot be."""
    with pytest.raises(ConfigError, match=said):
        run(CONFIG, options)


def test_the_only_application_need_not_be_named() -> None:
    """Where there is one, it is meant."""
    assert module._app(replace(CONFIG, apps={"a": APPS["a"]}), None) == "a"
    assert module._app(CONFIG, "b") == "b"


class FakeGenerator:
    """Keeps rates up to a limit, but for a hiccup at the first."""

    def __init__(self, trial: Callable[..., Trial], limit: float) -> None:
        self.orders: list[Closed | Open] = []
        self._trial = trial
        self._limit = limit

    async def run(self, order: Closed | Open) -> Trial:
        """What a server would have done."""
        self.orders.append(order)
        if isinstance(order, Closed):
            return self._trial(offered=None, rate=1000.0)
        first = sum([isinstance(it, Open) for it in self.orders]) == 1
        return self._trial(offered=order.rate, p99=0.02 if order.rate <= self._limit and not first else 0.2)


def bench(generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose server is none."""
    made = module._Bench(CONFIG, "a", Options(file="f", seconds=1.0), None, None, Path())
    none = Span(server=0.0, rows={}, batch={}, busy={}, predicting={}, hits=0.0, cpu={})

    async def look(self: Any) -> None:
        return None

    monkeypatch.setattr(module._Bench, "_look", look)
    monkeypatch.setattr(module._Bench, "_say", lambda self, what: None)
    monkeypatch.setattr(module.Span, "between", lambda before, after: none)
    made._generator = generator
    return made


def test_the_search_begins_below_the_capacity(trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    """At four fifths of it; a rate that is missed is tried again, so that one hiccup is no verdict."""
    generator = FakeGenerator(trial, limit=900.0)
    made = bench(generator, monkeypatch)

    async def whole() -> Any:
        return await made._search(await made._capacity())

    search = asyncio.run(whole())
    rates = [order.rate for order in generator.orders if isinstance(order, Open)]
    assert rates[:2] == [800.0, 800.0]
    assert search.kept <= 900.0 < search.kept * 1.06
    assert made._best().trial.offered == search.kept
    assert len({order.seed for order in generator.orders if isinstance(order, Open)}) == len(rates)
    assert max(order.connections for order in generator.orders) <= 1024


def test_a_server_that_answers_nothing_is_not_measured(
    trial: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warm-up ends it with what the first error said."""
    made = bench(FakeGenerator(trial, 1.0), monkeypatch)

    class Refusing:
        async def run(self, order: Any) -> Trial:
            return trial(offered=None, rate=0.0, errors={"invalid_input": 9}, message="its shape is [3]")

    made._generator = Refusing()
    with pytest.raises(SkysailError, match=r"no query .* its shape is \[3\]"):
        asyncio.run(made._warm_up())


def test_the_document_is_printed(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As a report, or as JSON and nothing else on standard output; and as a page where one is asked for."""

    async def measured(self: Any, console: Any) -> dict[str, Any]:
        return document

    drawn: list[Path] = []
    monkeypatch.setattr(module._Bench, "run", measured)
    monkeypatch.setattr(module.plot, "require", lambda: None)
    monkeypatch.setattr(module.plot, "draw", lambda path, document: drawn.append(path))
    assert run(CONFIG, Options(file="f", app="a")) == 0
    assert "highest rate" in capsys.readouterr().out
    page = tmp_path / "o.html"
    assert run(CONFIG, Options(file="f", app="a", as_json=True, plot=page)) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert drawn == [page]


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of an interrupted command."""

    async def interrupted(self: Any, console: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Bench, "run", interrupted)
    assert run(CONFIG, Options(file="f", app="a")) == 130
    assert "Interrupted" in capsys.readouterr().err
