"""The keys that may be written are those of the schema, and those of the Python interface."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from skysail.api import AppOptions, ModelOptions, ServerOptions
from skysail.config.keys import APP, MODEL, SERVER
from skysail.config.schema import (
    AppConfig,
    BatchConfig,
    CacheConfig,
    ConfidenceConfig,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
)
from skysail.config.section import Problems, Section

RESOLVED = {"name", "import_root", "policy_params", "loss_params", "code"}
"""Fields that no key of their own sets."""


def inner(section: Section, key: str) -> Section:
    """The section under a key of another."""
    found = section.keys[key]
    assert isinstance(found, Section)
    return found


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        (SERVER, ServerConfig),
        (MODEL, ModelConfig),
        (APP, AppConfig),
        (inner(SERVER, "cache"), CacheConfig),
        (inner(SERVER, "ledger"), LedgerConfig),
        (inner(MODEL, "batch"), BatchConfig),
        (inner(APP, "confidence"), ConfidenceConfig),
    ],
)
def test_each_key_is_a_field_and_each_field_a_key(section: Section, kind: Any) -> None:
    """Nothing may be written that has no field, and no setting is out of reach of the file."""
    assert set(section.keys) == {field.name for field in fields(kind)} - RESOLVED


@pytest.mark.parametrize(
    ("section", "options", "positional"),
    [(SERVER, ServerOptions, set()), (MODEL, ModelOptions, {"path"}), (APP, AppOptions, {"models"})],
)
def test_python_has_the_same_options(section: Section, options: Any, positional: set[str]) -> None:
    """The options of `skysail.App`, `Model` and `serve` are the file's keys."""
    assert set(options.__annotations__) == set(section.keys) - positional


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (SERVER, "port", 65536, "integer from 0 to 65535"),
        (SERVER, "port", "8000", "integer from 0 to 65535"),
        (SERVER, "state", "redis://h", 'names no known store (known: memory, sqlite); write "sqlite:///FILE"'),
        (SERVER, "state", "sqlit:///a", "did you mean 'sqlite'?"),
        (SERVER, "state", "state.db", "names no known store"),
        (SERVER, "state", "sqlite://state.db", 'must name a file: "sqlite:///relative/state.db"'),
        (SERVER, "state", "sqlite:///", "must name a file"),
        (SERVER, "state", "memory://x", "takes nothing after it"),
        (SERVER, "frontends", 0, "integer from 1 to 64"),
        (SERVER, "max_rows", 0, "integer from 1"),
        (SERVER, "max_body", "0B", "at least 1B"),
        (SERVER, "idle_timeout", 75, 'write "75ms" or "75s"'),
        (SERVER, "drain", "-1s", "must be a duration"),
        (SERVER, "cache", False, "must be a table of keys (bytes, policy, ttl)"),
        (MODEL, "runtime", "sklaern", "is unknown (did you mean 'sklearn'?)"),
        (MODEL, "replicas", 0, "integer from 1"),
        (MODEL, "timeout", "0s", "at least 1ms"),
        (MODEL, "cache", {"bytes": 1}, "true or false"),
        (MODEL, "finite", "no", "true or false"),
        (APP, "slo", "1ms", "at least 2ms"),
        (APP, "slo", 20, 'write "20ms" or "20s"'),
        (APP, "min_confidence", 1.1, "number from 0 to 1"),
        (APP, "confidence", "conformal", "must be a table of keys (method, target, rate, forget)"),
        (APP, "models", [], "not empty"),
        (APP, "missing", "main", "is unknown (did you mean 'mean'?)"),
        (APP, "hedge", 2, "true or false"),
        (APP, "prefer_in_time", "yes", "true or false"),
        (APP, "policy", ["vote"], "a name in quotes, or a table"),
    ],
)
def test_a_value_out_of_place_is_refused(section: Section, key: str, value: Any, message: str) -> None:
    """Each refusal names the key, its value and what to write."""
    problems = Problems("")
    assert section.read("t", {key: value, "path": "p", "models": ["m"]} | {key: value}, problems) is None
    line = next(line for line in problems.found if line.startswith(f"t.{key} = "))
    assert message in line


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hold", 2, 'batch.hold = 2: a duration needs its unit: write "2ms" or "2s"'),
        ("hold", "-1ms", 'batch.hold = "-1ms": must be a duration'),
        ("sizing", "quantil", "batch.sizing = \"quantil\": is unknown (did you mean 'quantile'?)"),
        ("max", 0, "batch.max = 0: must be an integer from 1"),
        ("mx", 8, "batch.mx = 8: unknown key (did you mean 'max'?)"),
    ],
)
def test_batching_out_of_place_is_refused(key: str, value: Any, message: str) -> None:
    """A sizing that is unknown, a hold that is no duration, a batch of nothing."""
    problems = Problems("")
    MODEL.read("models.m", {"path": "p", "batch": {key: value}}, problems)
    assert len(problems.found) == 1
    assert problems.found[0].startswith(f"models.m.{message}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "confidence: key 'method' is missing; add it"),
        ({"method": "platt"}, 'confidence.method = "platt": is unknown (known: conformal)'),
        ({"method": "conformal", "target": 0.3}, "confidence.target = 0.3: must be a number from 0.5 to 0.99"),
        ({"method": "conformal", "alpha": 0.1}, "confidence.alpha = 0.1: unknown key"),
    ],
)
def test_confidence_names_its_method(given: dict[str, Any], message: str) -> None:
    """A target that no application has use for is refused, and so is what is not known."""
    problems = Problems("")
    APP.read("apps.a", {"models": ["m"], "confidence": given}, problems)
    assert [line for line in problems.found if line.startswith(f"apps.a.{message}")] == problems.found != []


@pytest.mark.parametrize("url", ["memory://", "sqlite:///.skysail/state.db", "sqlite:////var/lib/s.db"])
def test_states_that_are_known(url: str) -> None:
    """The stores of this version are taken as they are written."""
    assert SERVER.read("server", {"state": url}, Problems("")) == {"state": url}
