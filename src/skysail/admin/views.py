"""Models and applications as the control plane shows them, as JSON values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from skysail.config.schema import AppConfig
from skysail.registry.registry import Model, Registry

__all__ = ["app_view", "apps_view", "model_view", "models_view"]


def app_view(app: AppConfig) -> dict[str, Any]:
    """An application."""
    return {
        "name": app.name,
        "models": list(app.models),
        "policy": app.policy,
        "policy_params": app.policy_params,
        "slo_ms": app.slo * 1000,
        "default": None if app.default is None else msgspec.json.decode(app.default),
        "min_confidence": app.min_confidence,
        "confidence": None if app.confidence is None else asdict(app.confidence),
        "loss": app.loss,
        "loss_params": app.loss_params,
        "cache": app.cache,
        "missing": app.missing,
        "hedge": app.hedge,
        "prefer_in_time": app.prefer_in_time,
    }


def model_view(name: str, model: Model) -> dict[str, Any]:
    """A model with its versions, the oldest first."""
    return {
        "name": name,
        "current": model.current,
        "replicas": model.replicas,
        "versions": [
            {
                "version": number,
                "current": number == model.current,
                "runtime": version.source.config.runtime,
                "path": version.source.config.path,
                "digest": version.source.digest or None,
                "input": version.source.config.input,
                "created": version.created,
            }
            for number, version in sorted(model.versions.items())
        ],
    }


def apps_view(registry: Registry) -> dict[str, dict[str, Any]]:
    """All applications by name."""
    return {name: app_view(app.config) for name, app in registry.apps.items()}


def models_view(registry: Registry) -> dict[str, dict[str, Any]]:
    """All models by name."""
    return {name: model_view(name, model) for name, model in registry.models.items()}
