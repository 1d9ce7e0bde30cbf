"""A policy and a loss of one's own behind a real server: edited, applied again, broken, and mended, under load."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from tests.e2e.conftest import Site

    Cli = Callable[..., subprocess.CompletedProcess[str]]

CONFIG = """
[models]
word = { path = "ZOO:echo" }
loud = { path = "ZOO:shout" }

[apps]
words = { models = ["word", "loud"], policy = "policy.py:Chooser", loss = "policy.py:Strict", slo = "20s" }
"""

POLICY = """
from dataclasses import dataclass
from typing import ClassVar

from skysail import Policy
from skysail.selection.losses import ZeroOne
from skysail.types import Distribution, State


class Strict(ZeroOne):
    def loss(self, output, label):
        return 7 * super().loss(output, label)


@dataclass(frozen=True, kw_only=True)
class Chooser(Policy):
    name: ClassVar[str] = "chooser"
    asks_one: ClassVar[bool] = True

    def weigh(self, state: State) -> Distribution:
        return Distribution(state.models, tuple(float(model == "word") for model in state.sums))
"""


def test_an_edited_policy_is_loaded_by_apply(
    serving: Callable[..., AbstractContextManager[Site]], cli: Cli, tmp_path: Path
) -> None:
    """The new text counts once `apply` has returned, what was learned stays, and no query fails; a text that cannot be
    imported changes nothing.
    """
    file = tmp_path / "policy.py"
    file.write_text(POLICY)
    with serving(tmp_path, CONFIG) as site:
        said = site.predict("words", "a")
        assert said["models"] == ["word@1"]
        assert site.observe("words", said["prediction_id"], "b")["accepted"] == 1
        app = site.status()["apps"]["words"]
        assert app["losses_clipped"] == 1
        assert 'skysail_losses_clipped_total{app="words"} 1.0' in site.admin.get("/metrics").text
        with site.load("words", lambda n: f"w{n}") as load:
            file.write_text(POLICY.replace('== "word"', '== "loud"'))
            done = cli("apply", site.config, "--admin-url", site.admin_url)
            assert "words" in done.stdout
            again = site.predict("words", "a")
            assert again["models"] == ["loud@1"]
            file.write_text("def broken(:")
            refused = cli("apply", site.config, "--admin-url", site.admin_url)
            assert refused.returncode == 2
            assert "policy.py cannot be imported: SyntaxError" in refused.stderr
            assert site.predict("words", "a")["models"] == ["loud@1"]
            file.write_text(POLICY)
            assert cli("apply", site.config, "--admin-url", site.admin_url).returncode == 0
        assert load.failed == []
        last = site.predict("words", "a")
        assert last["models"] == ["word@1"]
        assert last["confidence"] == 0.0
        assert site.status()["apps"]["words"]["policy_failures"] == 0
