"""From a document to a checked configuration: what takes several keys, or the disk, to judge."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from skysail.config.keys import APP, MODEL, SERVER
from skysail.config.resolve import resolve_config
from skysail.config.schema import AppConfig, Config
from skysail.errors import ConfigError, MissingExtra

MODELS = {"a": {"path": "m:a"}, "b": {"path": "m:b"}}


def resolve(document: dict[str, Any], root: Path = Path("/conf"), **options: Any) -> Config:
    """The configuration of a document."""
    return resolve_config(document, root=root, environ={"TOKEN": "t", "EMPTY": ""}, **options)


def refusal(document: dict[str, Any], **options: Any) -> str:
    """Why a document is refused."""
    with pytest.raises(ConfigError) as caught:
        resolve(document, **options)
    return caught.value.message


def server(**keys: Any) -> dict[str, Any]:
    """A document of server settings."""
    return {"server": keys}


def app(models: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A document of one application of two models."""
    return {"models": models or MODELS, "apps": {"x": {"models": ["a", "b"], **keys}}}


def test_an_empty_document_is_all_defaults() -> None:
    """Nothing has to be written: applications and models may come later, through the control plane."""
    assert resolve({}) == Config(root=Path("/conf"))


def test_names_and_tables_become_names_and_parameters() -> None:
    """A policy and a loss are a name with parameters, however they were written."""
    found = resolve(app(policy={"name": "exp3", "eta": 0.2}, loss="absolute")).apps["x"]
    assert (found.policy, found.policy_params) == ("exp3", {"eta": 0.2})
    assert (found.loss, found.loss_params) == ("absolute", {})
    assert (found.slo, found.import_root) == (0.1, "/conf")


@pytest.mark.parametrize("default", [-1, "no", [1, 2.5], {"a": [True]}, False])
def test_a_default_is_any_json_value(default: Any) -> None:
    """The default is kept as the JSON text it will be answered with."""
    found = resolve(app(default=default)).apps["x"].default
    assert found is not None
    assert found.decode().replace(",", ", ").replace(":", ": ") == json.dumps(default)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"sever": {}}, "sever: unknown section (did you mean 'server'?)"),
        ({"app": {"x": {}}}, "app: unknown section (did you mean 'apps'?)"),
        ({"models": 3}, "models = 3: must be a table; write [models.NAME]"),
        ({"server": []}, "server = []: must be a table; write [server]"),
        ({"models": {"a": 3}}, "models.a = 3: must be a table of keys (path, "),
        (server(prot=1), "server.prot = 1: unknown key (did you mean 'port'?)"),
        (server(ledger={"keep": 7}), 'server.ledger.keep = 7: a duration needs its unit: write "7ms" or "7s"'),
        (
            server(token_env="NONE"),
            'server.token_env = "NONE": no such environment variable, or it is empty; set it to the token, or remove',
        ),
        (server(token_env="EMPTY"), 'server.token_env = "EMPTY": no such environment variable, or it is empty'),
        (server(admin_host="0.0.0.0"), 'server.admin_host = "0.0.0.0": the control plane leaves loopback only with'),
        (
            server(frontends=2, state="memory://"),
            "server.frontends = 2: they share what they learn by way of the state",
        ),
        (server(admin_host="example"), 'server.admin_host = "example": the control plane leaves loopback only with'),
        (server(port=9, admin_port=9), "server.admin_port = 9: is the data plane's port too; choose another"),
        (server(host="::", port=9, admin_port=9), "server.admin_port = 9: is the data plane's port too"),
        ({"models": {"A b": {"path": "m:f"}}}, 'models."A b": not a name; use a-z, 0-9 and . _ - only'),
        ({"models": {"-a": {"path": "m:f"}}}, "models.-a: not a name"),
        ({"models": {"a": {}}}, "models.a: key 'path' is missing; add it"),
        ({"models": {"a": {"path": "x.bin"}}}, 'models.a.path = "x.bin": tells no runtime; set runtime = one of'),
        ({"models": {"a": {"path": "no.onnx"}}}, 'models.a.path = "no.onnx": no file at /conf/no.onnx'),
        (
            {"models": {"a": {"path": "m:f", "python": "no/python"}}},
            'models.a.python = "no/python": no file at /conf/no/python',
        ),
        (
            {"models": {"a": {"path": "m:f", "input": "flot32[3]"}}},
            "models.a.input = 'flot32[3]': dtype 'flot32' is unknown (did you mean 'float32'?)",
        ),
        ({"apps": {"x": {}}}, "apps.x: key 'models' is missing; add it"),
        (
            {"models": MODELS, "apps": {"a": {"models": ["a"]}}},
            "apps.a: a model has this name too, and the two share one namespace; rename one",
        ),
        (app(models={"a": {"path": "m:a"}}), "apps.x.models: model 'b' is unknown (known: a)"),
        (app(models={"a": {"path": "m:a"}, "bb": {"path": "m:b"}}), "model 'b' is unknown (did you mean 'bb'?)"),
        (
            app(missing="mean"),
            'apps.x.missing = "mean": the loss "zero_one" is for outputs that have no mean; use "drop"',
        ),
        (app(min_confidence=0.5), "apps.x.min_confidence = 0.5: needs a default to answer with; set default"),
        (
            app(models={"a": {"path": "m:a", "input": "float32[2]"}, "b": {"path": "m:b", "input": "float64[2]"}}),
            "apps.x.models: inputs differ (a float32[2], b float64[2]); declare the same input for all of them",
        ),
        (
            app(models={"a": {"path": "m:a", "input": "string"}, "b": {"path": "m:b", "input": "bytes"}}),
            "apps.x.models: inputs differ (a string, b bytes)",
        ),
        (
            app(models={"a": {"path": "m:a", "labels": ["x", "y"]}, "b": {"path": "m:b", "labels": ["y", "x", "z"]}}),
            'apps.x.models: labels differ (a ["x","y"], b ["y","x","z"]); declare them in one order, new ones last',
        ),
    ],
)
def test_each_refusal_names_the_key_the_value_and_the_remedy(document: dict[str, Any], message: str) -> None:
    """One problem is one line that begins with the key's dotted path."""
    found = refusal(document)
    assert message in found
    assert "\n" not in found


def test_all_problems_come_at_once_with_the_file() -> None:
    """Each line can be found by the file's name, and every section is read to its end."""
    found = refusal(
        {"server": {"port": -1}, "models": {"a": {"pth": "m:f"}}, "apps": {"x": {"models": ["c"], "slo": "1ms"}}},
        source="f.toml",
    )
    lines = found.split("\n")
    assert all(line.startswith("f.toml: ") for line in lines)
    assert [line.split()[1] for line in lines] == ["server.port", "models.a:", "models.a.pth", "apps.x.slo"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    """The control plane may be anywhere on loopback, and the data plane anywhere at all."""
    assert resolve(server(admin_host=host, host="0.0.0.0")).server.admin_host == host


def test_a_token_opens_the_control_plane() -> None:
    """With a token in the environment the control plane may leave loopback."""
    assert resolve(server(admin_host="0.0.0.0", token_env="TOKEN")).server.token_env == "TOKEN"


def test_free_ports_and_other_addresses_do_not_clash() -> None:
    """Two free ports are two ports, and one port on two addresses is fine."""
    assert resolve(server(port=0, admin_port=0)).server.port == 0
    assert resolve(server(host="127.0.0.2", port=9, admin_port=9)).server.port == 9


def test_json_models_stand_beside_any_declaration() -> None:
    """Models of one application declare one input; `json`, and what is not known yet, go with all."""
    models = {"a": {"path": "m:a", "input": "float32[2]"}, "b": {"path": "m:b", "input": "json"}, "c": {"path": "m:c"}}
    assert resolve({"models": models, "apps": {"x": {"models": ["a", "b", "c"]}}}).apps["x"].models == ("a", "b", "c")


def test_declarations_are_compared_by_meaning() -> None:
    """Two spellings of one declaration are the same input."""
    models = {"a": {"path": "m:a", "input": "float32[2,3]"}, "b": {"path": "m:b", "input": "float32[ 2, 3 ]"}}
    assert resolve(app(models=models)).models["b"].input == "float32[2,3]"


def test_models_are_resolved(tmp_path: Path) -> None:
    """Paths are absolute, the runtime is named, and import paths have the folder to be looked up in."""
    (tmp_path / "m.joblib").touch()
    (tmp_path / "python").symlink_to(sys.executable)
    keys = {"path": "m.joblib", "python": "python", "batch": {"max": 8}, "labels": ["a", "b"], "timeout": "3s"}
    model = resolve({"models": {"m": keys}}, root=tmp_path).models["m"]
    assert (model.path, model.runtime) == (f"{tmp_path}/m.joblib", "sklearn")
    assert (model.python, model.import_root) == (f"{tmp_path}/python", str(tmp_path))
    assert (model.batch.max, model.labels, model.timeout) == (8, ("a", "b"), 3.0)


def test_a_missing_library_is_told_once_the_rest_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named when the file itself has no problem; before that, the problem is."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").touch()
    document: dict[str, Any] = {"models": {"m": {"path": "m.onnx"}}}
    with pytest.raises(MissingExtra, match=r"model 'm' .*onnxruntime.*skysail\[onnx\]"):
        resolve(document, root=tmp_path)
    assert "server.port" in refusal(document | server(port=-1), root=tmp_path)


def test_policies_are_checked_by_who_knows_them() -> None:
    """The check that is passed in sees each application, and its complaint is one of the problems."""
    seen: list[AppConfig] = []

    def check(config: AppConfig) -> None:
        seen.append(config)
        raise ConfigError(f"policy '{config.policy}' is unknown (did you mean 'vote'?)")

    found = refusal(app(policy="vot", min_confidence=1), check_policy=check)
    assert found.split("\n")[1] == "apps.x: policy 'vot' is unknown (did you mean 'vote'?)"
    assert [config.name for config in seen] == ["x"]


KEYS = st.sampled_from(
    [*SERVER.keys, *MODEL.keys, *APP.keys, "server", "models", "apps", "bytes", "ttl", "keep", "max", "name", "a", "b"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates() | st.just("m:f"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
TABLES = st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=3)


@given(st.dictionaries(KEYS, VALUES | TABLES, max_size=3))
def test_any_document_is_a_configuration_or_a_config_error(document: dict[str, Any]) -> None:
    """Whatever the values, nothing but a ConfigError is raised."""
    try:
        found = resolve(document)
    except ConfigError as error:
        event(error.message.partition(":")[0])
    else:
        assert set(found.apps) <= set(document.get("apps", {}))
