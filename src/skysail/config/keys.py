"""The keys of a configuration, each with what reads its value; the defaults are those of `skysail.config.schema`."""

from __future__ import annotations

from typing import Any

from skysail.config.artifacts import RUNTIMES
from skysail.config.section import Section
from skysail.config.values import (
    boolean,
    declaration,
    duration,
    integer,
    json_text,
    labels,
    named,
    number,
    one_of,
    size,
    text,
    texts,
)
from skysail.errors import nearest

__all__ = ["APP", "MODEL", "SERVER"]

_MANY = 2**31 - 1


def _state(value: Any) -> str:
    url = text(value)
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ("memory", "sqlite"):
        hint = nearest(scheme, ["memory", "sqlite"])
        raise ValueError(f'names no known store ({hint}); write "sqlite:///FILE" (//// if absolute) or "memory://"')
    if scheme == "memory" and rest:
        raise ValueError('takes nothing after it; write "memory://"')
    if scheme == "sqlite" and (not rest.startswith("/") or not rest.strip("/") or rest.endswith("/")):
        raise ValueError('must name a file: "sqlite:///relative/state.db", or "sqlite:////absolute/state.db"')
    return url


SERVER = Section(
    keys={
        "host": text,
        "port": integer(0, 65535),
        "admin_host": text,
        "admin_port": integer(0, 65535),
        "frontends": integer(1, 64),
        "state": _state,
        "token_env": text,
        "max_body": size("1B"),
        "max_rows": integer(1, _MANY),
        "idle_timeout": duration("1ms"),
        "header_timeout": duration("1ms"),
        "drain": duration("0s"),
        "cache": Section(keys={"bytes": size("0B"), "policy": one_of(("lru", "sieve")), "ttl": duration("1ms")}),
        "ledger": Section(keys={"keep": duration("1s"), "bytes": size("1B"), "inputs": boolean}),
    }
)
"""The keys of `[server]`."""

MODEL = Section(
    keys={
        "path": text,
        "runtime": one_of(RUNTIMES),
        "input": declaration,
        "finite": boolean,
        "replicas": integer(1, 4096),
        "timeout": duration("1ms"),
        "threads": integer(1, 4096),
        "labels": labels,
        "python": text,
        "cache": boolean,
        "batch": Section(
            keys={"max": integer(1, 1 << 20), "sizing": one_of(("quantile", "aimd")), "hold": duration("0s")}
        ),
    },
    required=("path",),
)
"""The keys of `[models.NAME]`."""

APP = Section(
    keys={
        "models": texts,
        "policy": named,
        "slo": duration("2ms"),
        "default": json_text,
        "min_confidence": number(0, 1),
        "confidence": Section(
            keys={
                "method": one_of(("conformal",)),
                "target": number(0.5, 0.99),
                "rate": number(0, 1),
                "forget": number(0, 1),
            },
            required=("method",),
        ),
        "loss": named,
        "cache": boolean,
        "missing": one_of(("drop", "mean")),
        "hedge": boolean,
        "prefer_in_time": boolean,
    },
    required=("models",),
)
"""The keys of `[apps.NAME]`."""
