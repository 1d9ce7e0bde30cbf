from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skysail.admin.bodies import CurrentBody, parse, read_app, read_deployment, read_timeout
from skysail.config.schema import ModelConfig
from skysail.errors import ConfigError, InvalidJSON, InvalidRequest, RequestError
from skysail.registry.registry import Model, Registry, Source, Version

ROOT = Path("/")


def registry(**fields: object) -> Registry:
    """A registry with one model, of two replicas, whose artifact is kept elsewhere."""
    source = ModelConfig(name="svm", path="old:f", runtime="python", **fields)  # type: ignore[arg-type]
    version = Version(source=Source.of(source), path="kept:f", created=0.0)
    return Registry(models={"svm": Model(versions={1: version}, current=1, replicas=2)})


@given(st.binary())
def test_any_bytes_are_a_body_or_a_request_error(data: bytes) -> None:
    """Nothing that a client sends is anything but read or refused."""
    try:
        assert parse(data, CurrentBody).timeout_s is not None
    except RequestError as error:
        assert type(error) in (InvalidJSON, InvalidRequest)  # noqa: PT017 - either outcome is right


def test_a_deployment_inherits_what_it_does_not_name() -> None:
    """Settings and replicas stay as they are; the path and its runtime are new; the timeout is not a setting."""
    config, timeout = read_deployment(
        "svm", b'{"path": "new:f", "threads": 3, "timeout_s": 5}', registry(input="json", timeout=4.0, threads=2), ROOT
    )
    assert (config.path, config.runtime, config.threads) == ("new:f", "python", 3)
    assert (config.input, config.timeout, config.replicas) == ("json", 4.0, 2)
    assert timeout == 5.0


def test_a_first_deployment_has_the_defaults() -> None:
    """A model that was not there is as a file's table says it."""
    config, timeout = read_deployment("svm", b'{"path": "new:f", "batch": {"max": 7}}', Registry(), ROOT)
    assert (config.batch.max, config.replicas, config.timeout) == (7, 1, 10.0)
    assert timeout == 60.0


def test_an_application_must_fit_the_models_that_are_there() -> None:
    """Models that are unknown, or whose inputs differ from each other, are refused as in a file."""

    def check(app: object) -> None:
        """Any policy will do."""

    found = registry(input="float32[4]")
    two = Registry(models={**found.models, "b": registry(input="float32[5]").models["svm"]})
    assert read_app("x", b'{"models": ["svm"]}', found, ROOT, check).models == ("svm",)
    with pytest.raises(ConfigError, match="inputs differ"):
        read_app("x", b'{"models": ["svm", "b"]}', two, ROOT, check)
    with pytest.raises(ConfigError, match="did you mean 'svm'"):
        read_app("x", b'{"models": ["svn"]}', found, ROOT, check)


@pytest.mark.parametrize("value", [0, -1, "nan", "inf", None, [], "5s"])
def test_a_timeout_is_a_positive_number(value: object) -> None:
    """Anything else is named."""
    with pytest.raises(InvalidRequest, match="timeout_s = "):
        read_timeout(value)
