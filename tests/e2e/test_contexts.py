"""Contexts over HTTP and the command line: each its own, whatever it is called, and told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
[models]
plain = { path = "ZOO:echo" }
loud = { path = "ZOO:shout" }

[apps]
words = { models = ["loud", "plain"], policy = { name = "adahedge", eta = 1.0 }, slo = "20s" }
"""

ODD = {
    "a slash": "a/b",
    "percent": "%2Fa%b",
    "spaces": " a  b ",
    "not ASCII": "Zoë 🦜",
    "control": "\x01\n\t\x7f",
    "NUL": "a\x00b",
    "an address": "../?a=b&context=c#d",
    "SQL": "'; DROP TABLE states; --",
    "the longest": "é" * 128,
    "a number": "7",
}


@pytest.fixture(scope="module")
def site(
    serving: Callable[..., AbstractContextManager[Site]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Two models, one of which is right."""
    with serving(tmp_path_factory.mktemp("site"), CONFIG) as site:
        yield site


def weight(site: Site, context: str) -> float:
    """The weight of the model that is right, as a context has it."""
    trust: float = site.status(context=context)["apps"]["words"]["weights"]["plain"]
    return trust


@pytest.mark.parametrize("context", ODD.values(), ids=ODD.keys())
def test_any_text_is_a_context(site: Site, cli: Cli, context: str) -> None:
    """It is the same one in the body, in `/status` and on the command line; feedback is seen by the very next query."""
    before = weight(site, context)
    for n in range(3):
        answer = site.predict("words", f"row {n}", context=context)
        assert site.observe("words", answer["prediction_id"], f"row {n}")["accepted"] == 1
        after = site.predict("words", "again", context=context)
        why = site.wait(lambda id=after["prediction_id"]: site.admin.get(f"/predictions/{id}").json())
        assert why["context"] == context
        assert why["weights"]["plain"] > before
        before = why["weights"]["plain"]
    assert weight(site, context) == pytest.approx(before)
    assert weight(site, context + "." if len(context) < 100 else "another") < before
    if "\x00" not in context:  # no command line can hold it
        seen = cli("status", "--context", context, "--admin-url", site.admin.base_url, "--json")
        assert json.loads(seen.stdout)["apps"]["words"]["weights"]["plain"] == pytest.approx(before)


def test_a_context_of_ten_kilobytes_is_refused(site: Site) -> None:
    """In a query, in feedback, in a header and in `/status`: with the size that is allowed."""
    context = "x" * 10_240
    feedback = {"input": "row", "context": context, "label": "row"}
    replies = [
        site.ask("words", "row", context=context),
        site.data.post("/apps/words/observe", json=feedback),
        site.data.post(
            "/apps/words/predict",
            content=b"row",
            headers={"Content-Type": "application/octet-stream", "Skysail-Context": context},
        ),
        site.admin.get("/status", params={"context": context}),
    ]
    for reply in replies:
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
        assert "256" in reply.text
    listed = site.data.post("/apps/words/observe", json={"observations": [feedback]}).json()
    assert [rejected["code"] for rejected in listed["rejected"]] == ["invalid_request"]


def test_what_was_read_is_counted(site: Site) -> None:
    """Contexts held, read and put off are in `/status` and on the page for Prometheus."""
    for n in range(5):
        site.predict("words", "row", context=f"user {n}")
    told = site.status()["apps"]["words"]["contexts"]
    assert told["held"] >= 5
    assert told["read"] >= 5
    assert told["put_off"] >= 0
    assert 'skysail_contexts_held{app="words"}' in site.admin.get("/metrics").text


def test_feedback_to_a_context_in_memory_reads_nothing(site: Site) -> None:
    """The file is asked once for a context, however often it is told and asked after."""
    answer = site.predict("words", "row 0", context="told")
    before = site.status()["apps"]["words"]["contexts"]
    for n in range(1, 10):
        assert site.observe("words", answer["prediction_id"], "row")["accepted"] == 1
        answer = site.predict("words", f"row {n}", context="told")
    assert site.status()["apps"]["words"]["contexts"] == before
