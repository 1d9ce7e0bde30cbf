from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skysail.bench import server
from skysail.bench.server import derive, main
from skysail.config.load import dump_config
from skysail.config.schema import AppConfig, Config, ServerConfig
from skysail.errors import ConfigError

CONFIG = Config(
    server=ServerConfig(host="0.0.0.0", port=80, admin_host="10.0.0.1", admin_port=81, frontends=2, max_rows=7),
    apps={name: AppConfig(name=name, models=("m",), slo=0.1) for name in ("a", "b")},
    root=Path("/srv/app"),
)


@pytest.mark.parametrize(
    ("state", "kept"), [("sqlite:///state.db", "sqlite:////bench/state.db"), ("memory://", "memory://")]
)
def test_the_users_state_is_left_alone(state: str, kept: str) -> None:
    """A state of the same kind elsewhere, free ports of loopback, the objective asked for; all else as it is."""
    config = replace(CONFIG, server=replace(CONFIG.server, state=state))
    derived = derive(config, "a", 0.02, Path("/bench"))
    assert derived.server.state == kept
    assert (derived.server.host, derived.server.port) == ("127.0.0.1", 0)
    assert (derived.server.admin_host, derived.server.admin_port) == ("127.0.0.1", 0)
    assert (derived.server.frontends, derived.server.max_rows, derived.root) == (2, 7, Path("/srv/app"))
    assert derived.apps == {"a": replace(config.apps["a"], slo=0.02), "b": config.apps["b"]}


def test_it_serves_what_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration arrives as it was, the server's exit status is its own, and an error is one line."""
    file = tmp_path / "config.json"
    file.write_bytes(dump_config(CONFIG))
    served: list[Config] = []
    monkeypatch.setattr(server, "run", lambda config: served.append(config) or 5)
    assert main([str(file)]) == 5
    assert served == [CONFIG]

    def refuse(config: Config) -> int:
        raise ConfigError("no port")

    monkeypatch.setattr(server, "run", refuse)
    assert main([str(file)]) == 1
    assert capsys.readouterr().err == "error: no port\n"
