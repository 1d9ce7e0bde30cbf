"""The check of numeric parameters, with one wording for all of them."""

from __future__ import annotations

import math
from typing import Any

from skysail.errors import ConfigError

__all__ = ["number"]


def number(
    owner: str,
    key: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> float:
    """A parameter that is a finite number within its limits (`above` is exclusive); else a `ConfigError` that says so.

    >>> number("policy 'exp3'", "eta", 1, above=0.0)
    1.0
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        low = (above is None or value > above) and (least is None or value >= least)
        if low and (most is None or value <= most):
            return float(value)
    wordings = (("above", above), ("of at least", least), ("of at most", most))
    limits = " and ".join([f"{words} {limit:g}" for words, limit in wordings if limit is not None])
    raise ConfigError(f"{owner}: {key} = {value!r} must be a number {limits}".rstrip())
