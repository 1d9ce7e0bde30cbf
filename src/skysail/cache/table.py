"""The caches by the names that they have in the config file."""

from __future__ import annotations

from typing import Final

from skysail.cache.cache import Cache
from skysail.cache.lru import Lru
from skysail.cache.sieve import Sieve

__all__ = ["CACHES"]

CACHES: Final[dict[str, type[Cache]]] = {"lru": Lru, "sieve": Sieve}
"""What `[server] cache.policy` may name; the first is the default."""
