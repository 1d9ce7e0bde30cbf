"""The typed values of a configuration."""

from __future__ import annotations

import ast
import inspect
from dataclasses import FrozenInstanceError, fields

import pytest

from skysail.config import schema
from skysail.config.schema import Config, ServerConfig


def test_every_setting_is_documented() -> None:
    """A docstring stands below each field: the reference is made of them."""
    for node in ast.parse(inspect.getsource(schema)).body:
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(below, ast.Expr), ast.unparse(field)


def test_an_empty_configuration_is_all_defaults() -> None:
    """Every key of the server has a default; there are no models and no applications."""
    config = Config()
    assert config.server == ServerConfig()
    assert (config.models, config.apps) == ({}, {})
    assert (config.server.port, config.server.admin_port) == (8000, 8002)


def test_values_do_not_change() -> None:
    """What has been checked once cannot be changed afterwards."""
    for field in fields(ServerConfig):
        with pytest.raises(FrozenInstanceError):
            setattr(ServerConfig(), field.name, None)
