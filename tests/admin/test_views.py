from __future__ import annotations

import msgspec

from skysail.admin.views import app_view, apps_view, model_view, models_view
from skysail.config.schema import AppConfig, ModelConfig
from skysail.registry.registry import App, Model, Registry, Source, Version


def version(path: str) -> Version:
    """A version whose artifact was copied."""
    source = Source.of(ModelConfig(name="svm", path=path, runtime="sklearn", input="float64[64]"), "d1ge57")
    return Version(source=source, path=f"/kept{path}", created=7.0)


def test_a_model_shows_its_versions_in_order() -> None:
    """Each with where it came from, not where its copy is; the current one is marked."""
    model = Model(versions={2: version("/b.joblib"), 1: version("/a.joblib")}, current=1, replicas=2)
    view = model_view("svm", model)
    assert (view["name"], view["current"], view["replicas"]) == ("svm", 1, 2)
    assert [(v["version"], v["path"], v["current"]) for v in view["versions"]] == [
        (1, "/a.joblib", True),
        (2, "/b.joblib", False),
    ]


def test_an_application_shows_values_as_people_write_them() -> None:
    """Milliseconds, and the default as the JSON value that clients get."""
    app = AppConfig(name="x", models=("svm",), slo=0.02, default=b'[1, "a"]', policy_params={"eta": 0.1})
    view = app_view(app)
    assert (view["slo_ms"], view["default"], view["policy_params"]) == (20.0, [1, "a"], {"eta": 0.1})
    assert app_view(AppConfig(name="x", models=("svm",)))["default"] is None


def test_a_whole_registry_is_json() -> None:
    """Everything in it can be sent as it is."""
    registry = Registry(
        models={"svm": Model(versions={1: version("/a.joblib")}, current=1)},
        apps={"x": App(config=AppConfig(name="x", models=("svm",)))},
    )
    decoded = msgspec.json.decode(msgspec.json.encode([apps_view(registry), models_view(registry)]))
    assert [list(decoded[0]), list(decoded[1])] == [["x"], ["svm"]]
