"""Reading the file, and handing configurations on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skysail.config.load import decode_topology, dump_config, encode_topology, load_config, read_config
from skysail.config.schema import (
    AppConfig,
    BatchConfig,
    CacheConfig,
    Config,
    LedgerConfig,
    ModelConfig,
    ReplicaSpec,
    ServerConfig,
    Topology,
    VersionSpec,
)
from skysail.errors import ConfigError

WHOLE = """
[server]
host = "0.0.0.0"
port = 0
admin_port = 9002
state = "memory://"
max_body = "1MiB"
drain = "5s"
cache = { bytes = "8MiB", policy = "sieve", ttl = "10m" }
ledger = { keep = "1d", bytes = 1000000, inputs = true }

[models.rules]
path = "rules.py:predict"
input = "float32[2]"
labels = ["cat", "dog"]

[models.more]
path = "pkg.mod:f"
input = "json"
batch = { max = 256, sizing = "aimd", hold = "2ms" }
cache = false

[apps.pets]
models = ["rules", "more"]
policy = { name = "adahedge", forget = 0.99 }
slo = "20ms"
default = ["none", 0]
min_confidence = 0.25
loss = { name = "squared", range = [0, 10] }
missing = "mean"
hedge = true
prefer_in_time = true
"""


def write(folder: Path, text: str | bytes) -> Path:
    """A configuration file with this text."""
    file = folder / "skysail.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of value is read, and relative paths start at the file's folder, wherever one stands."""
    (tmp_path / "rules.py").touch()
    write(tmp_path, WHOLE)
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(f"{tmp_path.name}/skysail.toml")
    root = str(tmp_path)
    assert config == Config(
        server=ServerConfig(
            host="0.0.0.0",
            port=0,
            admin_port=9002,
            state="memory://",
            max_body=1 << 20,
            drain=5.0,
            cache=CacheConfig(bytes=8 << 20, policy="sieve", ttl=600.0),
            ledger=LedgerConfig(keep=86400.0, bytes=1000000, inputs=True),
        ),
        models={
            "rules": ModelConfig(
                name="rules",
                path=f"{root}/rules.py:predict",
                runtime="python",
                input="float32[2]",
                labels=("cat", "dog"),
                import_root=root,
            ),
            "more": ModelConfig(
                name="more",
                path="pkg.mod:f",
                runtime="python",
                input="json",
                batch=BatchConfig(max=256, sizing="aimd", hold=0.002),
                cache=False,
                import_root=root,
            ),
        },
        apps={
            "pets": AppConfig(
                name="pets",
                models=("rules", "more"),
                policy="adahedge",
                policy_params={"forget": 0.99},
                slo=0.02,
                default=b'["none",0]',
                min_confidence=0.25,
                loss="squared",
                loss_params={"range": [0, 10]},
                missing="mean",
                hedge=True,
                prefer_in_time=True,
                import_root=root,
            )
        },
        root=tmp_path,
    )


def test_a_link_to_a_file_is_where_the_link_is(tmp_path: Path) -> None:
    """A linked file (as a mounted configuration is) has the folder of the link, which is what its writer sees."""
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", WHOLE)
    (tmp_path / "rules.py").touch()
    (tmp_path / "skysail.toml").symlink_to(tmp_path / "real" / "skysail.toml")
    assert load_config(tmp_path / "skysail.toml").root == tmp_path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server\nport = 1", "not TOML: .*line 1, column 8"),
        ("[server]\nport = 1\nport = 2\n\n[models]", "not TOML: .*line 3"),
        ("[models.a]\npath = 'm:f'\n[models.a]\npath = 'm:g'", "not TOML: .*line 3"),
        (b"[server]\nhost = '\xff'", "byte 17 is not UTF-8; save the file as UTF-8"),
        ("a = " + "[" * 100_000, "a value is too deep or too long to be read"),
        ("[server]\nport = " + "9" * 5000, "a value is too deep or too long to be read"),
        ("[server]\nprot = 1", "server.prot = 1: unknown key \\(did you mean 'port'\\?\\)"),
        ("[apps.x]\nmodels = ['a']\ndefault = 2026-01-02", "apps.x.default = .*write it in quotes"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Whatever is wrong, the message begins with the file as it was named."""
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=f"^{file}: {message}"):
        load_config(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file, and a folder in place of a file, are told apart."""
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read \(No such file or directory\); name"):
        load_config(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\); name a TOML file"):
        load_config(tmp_path)


def test_a_token_comes_from_the_environment_given(tmp_path: Path) -> None:
    """The environment is an argument, so that a test needs none of its own."""
    file = write(tmp_path, '[server]\ntoken_env = "T"')
    assert load_config(file, environ={"T": "secret"}).server.token_env == "T"
    with pytest.raises(ConfigError, match="token_env"):
        load_config(file, environ={})


@given(st.binary(max_size=60) | st.text('[]{}="a.\n#1', max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """No file makes anything but a Config or a ConfigError."""
    file = write(tmp_path_factory.getbasetemp(), data)
    try:
        found = load_config(file)
    except ConfigError as error:
        message = error.message
    else:
        assert found.root == file.parent
        return
    assert message.startswith(f"{file}: ")


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
SECONDS = st.floats(0, 1e9)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PARAMS = st.dictionaries(TEXT, JSON, max_size=3)
MODEL = st.builds(
    ModelConfig,
    name=NAMES,
    path=TEXT,
    runtime=TEXT,
    input=st.none() | TEXT,
    finite=st.booleans(),
    timeout=SECONDS,
    labels=st.none() | st.lists(TEXT | st.booleans() | st.integers(-9, 9) | SECONDS).map(tuple),
    python=st.none() | TEXT,
    batch=st.builds(BatchConfig, max=st.integers(1, 2**20), hold=st.none() | SECONDS),
    import_root=TEXT,
)
APP = st.builds(
    AppConfig,
    name=NAMES,
    models=st.lists(NAMES).map(tuple),
    policy_params=PARAMS,
    slo=SECONDS,
    default=st.none() | st.binary(max_size=9),
    min_confidence=st.floats(0, 1),
    loss_params=PARAMS,
    cache=st.booleans(),
    missing=st.sampled_from(["drop", "mean"]),
    hedge=st.booleans(),
    prefer_in_time=st.booleans(),
)
SERVER = st.builds(
    ServerConfig,
    token_env=st.none() | TEXT,
    drain=SECONDS,
    cache=st.builds(
        CacheConfig,
        bytes=st.integers(0, 2**63 - 1),
        policy=st.sampled_from(["lru", "sieve"]),
        ttl=st.none() | SECONDS,
    ),
    ledger=st.builds(LedgerConfig, keep=SECONDS, inputs=st.booleans()),
)
CONFIG = st.builds(
    Config,
    server=SERVER,
    models=st.dictionaries(NAMES, MODEL, max_size=3),
    apps=st.dictionaries(NAMES, APP, max_size=3),
    root=TEXT.map(Path),
)
VERSION = st.builds(
    VersionSpec,
    config=MODEL,
    version=st.integers(1, 2**31),
    replicas=st.lists(st.builds(ReplicaSpec, name=TEXT, socket=TEXT), max_size=3).map(tuple),
)
TOPOLOGY = st.builds(
    Topology,
    apps=st.dictionaries(NAMES, APP, max_size=3),
    versions=st.lists(VERSION, max_size=3).map(tuple),
    current=st.dictionaries(NAMES, st.integers(1, 2**31)),
)


@settings(max_examples=40)
@given(CONFIG)
def test_a_configuration_survives_its_bytes(config: Config) -> None:
    """A child reads the very configuration its parent resolved."""
    assert read_config(dump_config(config)) == config


@settings(max_examples=40)
@given(TOPOLOGY)
def test_a_topology_survives_its_bytes(topology: Topology) -> None:
    """A frontend reads the very topology the control plane sent."""
    assert decode_topology(encode_topology(topology)) == topology


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"server": 3}', b'{"apps": {"x": {}}}'])
def test_other_bytes_are_refused(data: bytes) -> None:
    """What was not written by this version is a ConfigError that says which document it should have been."""
    with pytest.raises(ConfigError, match=r"^no config of this version: "):
        read_config(data)
    with pytest.raises(ConfigError, match=r"^no topology of this version: "):
        decode_topology(data.replace(b"server", b"current"))
