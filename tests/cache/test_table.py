"""Caches by name."""

from __future__ import annotations

import pytest

from skysail.cache.table import CACHES
from skysail.config.keys import SERVER
from skysail.config.schema import CacheConfig
from skysail.config.section import Problems


def test_the_config_names_what_there_is() -> None:
    """Each name may be written, the default is the first, and no other name is taken."""
    for name in CACHES:
        assert SERVER.read("server", {"cache": {"policy": name}}, Problems("")) == {"cache": {"policy": name}}
    assert next(iter(CACHES)) == CacheConfig().policy


@pytest.mark.parametrize("name", ["seive", "fifo", 1])
def test_another_name_is_refused(name: object) -> None:
    """A name that is misspelt, or of no cache, is refused with those there are."""
    problems = Problems("")
    assert SERVER.read("server", {"cache": {"policy": name}}, problems) is None
    assert "sieve" in problems.found[0]
