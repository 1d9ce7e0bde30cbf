from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from skysail.applications import Application


def make(**served: Any) -> Application:
    """An application of models a, b, c, some of them served."""
    nothing: Any = None
    return Application(
        name="app",
        models=("a", "b", "c"),
        policy=nothing,
        fallback=nothing,
        slo=0.1,
        default=None,
        min_confidence=0.0,
        cache=True,
        deadlines=nothing,
        states=nothing,
        counters=nothing,
        served=served,
    )


def test_ready_models_come_in_config_order() -> None:
    """Those without a current version, or without a replica, are left out."""
    app = make(c=SimpleNamespace(ready=True), a=SimpleNamespace(ready=True), b=SimpleNamespace(ready=False))
    assert app.candidates == ("a", "c")
    assert make().candidates == ()


def test_the_cache_is_the_applications_choice() -> None:
    """With `cache` off, models are asked past it."""
    app = make(a=SimpleNamespace(ready=True, cached="cached", direct="direct"))
    assert app.predictor("a") == "cached"
    app.cache = False
    assert app.predictor("a") == "direct"
