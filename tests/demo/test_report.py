from __future__ import annotations

import json
import shlex
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from skysail.demo.drive import Drive
from skysail.demo.findings import Findings
from skysail.demo.models import MODELS
from skysail.demo.recovery import Recovery
from skysail.demo.report import bounds, commands, conclusions, error_table, verdict
from skysail.demo.score import SKYSAIL, VOTE, Result, Scores
from skysail.demo.traffic import Traffic
from skysail.serving import Addresses
from skysail.testing.clock import ManualClock

NEVER = Recovery(live=None, labels=None)


def findings(broken: Recovery = NEVER, mended: Recovery = NEVER) -> Findings:
    """What was found out."""
    return Findings(broken=broken, mended=mended, compared=250, equal=249)


def said(server: Any, traffic: Traffic, scores: Scores, found: Findings, failures: list[str]) -> str:
    """The conclusions of a drive with one right answer."""
    refs = tuple(f"{model}@1" for model in MODELS)
    scores.add(Result(query=0, at=0.0, latency=0.01, id="a", output=int(traffic.labels[0]), refs=refs))
    drive = Drive(server, server.client(), traffic, scores, ManualClock())
    drive.failures, drive.taught = failures, 1
    return "\n".join(conclusions(drive, found))


@pytest.mark.parametrize(("ours", "relation"), [(0.0499, "is below"), (0.05, "is NOT below"), (0.2, "is NOT below")])
def test_the_verdict_follows_the_numbers(ours: float, relation: str) -> None:
    """Skysail is said to be better only where its error is less than the least of any single model's."""
    text = verdict({SKYSAIL: ours, "svm": 0.22, "logistic": 0.05, VOTE: 0.01})
    assert f"{relation} that of every single model: the best of them, logistic, has 5.0%" in text


def test_the_table_has_each_part_of_the_run(scores: Scores) -> None:
    """Errors before, while and after the break, by when queries were sent, and over the whole run."""
    refs = [f"{model}@1" for model in MODELS]
    for query, version in enumerate([1, 1, 2, 2, 1]):
        output = int(np.arange(300)[query] % 9) if query != 2 else -1
        ref = (f"svm@{version}", *refs[1:])
        scores.add(Result(query=query, at=query + 0.1, latency=0.1, id=str(query), output=output, refs=ref))
    console = Console(file=StringIO(), width=120)
    console.print(error_table(scores, (1.5, 3.5)))
    assert isinstance(console.file, StringIO)
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:6] for line in console.file.getvalue().splitlines() if "%" in line
    }
    assert [cell.strip() for cell in rows["svm"]] == ["0.0%", "100.0%", "0.0%", "40.0%"]
    assert [cell.strip() for cell in rows[SKYSAIL]] == ["0.0%", "50.0%", "0.0%", "20.0%"]
    assert list(rows) == [*MODELS, VOTE, SKYSAIL]


def test_the_conclusions_tell_the_recoveries(server: Any, traffic: Traffic, scores: Scores) -> None:
    """When each change was live, after how many labels it was followed, and what the numbers rest on."""
    found = findings(Recovery(live=10.5, labels=33), Recovery(live=21.0, labels=None))
    text = said(server, traffic, scores, found, [])
    assert "The bad release was live from 10.5 s: after 33 labels svm no longer had the greatest weight." in text
    assert "The rollback was live from 21.0 s: it never came to this: svm had the greatest weight again." in text
    assert "No request failed." in text
    assert "249 of 250 outputs" in text


def test_failures_are_told_and_not_hidden(server: Any, traffic: Traffic, scores: Scores) -> None:
    """The number of failed requests and the first of them."""
    text = said(server, traffic, scores, findings(), [f"query {i}: overload: too much" for i in range(9)])
    assert "9 requests FAILED" in text
    assert text.count("overload: too much") == 5
    assert "The bad release never became live." in text


@pytest.mark.parametrize(("defaults", "advised"), [(0, False), (1, True)])
def test_a_busy_machine_is_named_as_such(
    server: Any, traffic: Traffic, scores: Scores, defaults: int, advised: bool
) -> None:
    """Where over one answer in a hundred was a default, the report says what to try."""
    refs = tuple(f"{model}@1" for model in MODELS)
    drive = Drive(server, server.client(), traffic, scores, ManualClock())
    for query in range(99):
        scores.add(Result(query=query, at=0.0, latency=0.01, id="a", output=1, refs=refs))
    drive.defaults = defaults
    drive.status = {"apps": {"digits": {"defaults": {"overload": defaults}}}}
    text = "\n".join(conclusions(drive, findings()))
    assert ("--rate 100 --seconds 60" in text) == advised
    assert ("1 (1 overload)" in text) == advised


def test_bounds_fall_back_to_what_was_asked_for() -> None:
    """A change that was never live is drawn where it was asked for."""
    assert bounds(findings(Recovery(live=10.4, labels=None)), 30.0) == (10.4, 20.0)
    assert bounds(findings(), 30.0) == (10.0, 20.0)


def test_the_commands_can_be_pasted() -> None:
    """Each is one shell command; the body of the prediction is JSON with the row in it."""
    lines = commands(Addresses("http://h:1", "http://h:2"), [0.0, 2.5], "id-1")
    words = [shlex.split(line) for line in lines]
    assert [word[0] for word in words] == ["curl"] * 4
    assert json.loads(words[1][-1]) == {"input": [0, 2.5]}
    assert words[3][1] == "http://h:2/predictions/id-1"
    assert len(commands(Addresses("a", "b"), [0.0], None)) == 3
