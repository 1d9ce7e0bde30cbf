from __future__ import annotations

import pytest

from skysail.cli.serve import run
from skysail.config.schema import Config


def test_serving_is_the_supervisors_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration goes to the supervisor as it is, and its exit code comes back."""
    served: list[Config] = []

    def supervise(config: Config) -> int:
        served.append(config)
        return 5

    monkeypatch.setattr("skysail.supervisor.main.run", supervise)
    config = Config()
    assert run(config) == 5
    assert served == [config]
