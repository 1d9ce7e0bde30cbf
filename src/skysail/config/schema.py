"""The configuration as typed, validated, frozen values: sizes are bytes here, and durations seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "AppConfig",
    "BatchConfig",
    "CacheConfig",
    "ConfidenceConfig",
    "Config",
    "LedgerConfig",
    "ModelConfig",
    "ReplicaSpec",
    "ServerConfig",
    "Topology",
    "VersionSpec",
]


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """The prediction cache of a frontend."""

    bytes: int = 64 << 20
    """Inputs and outputs kept, in bytes."""

    policy: str = "lru"
    """Which of them make room for others: the least recently used (`lru`), or those not used again (`sieve`)."""

    ttl: float | None = None
    """Seconds after which an output is stale; never, by default."""


@dataclass(frozen=True, kw_only=True)
class LedgerConfig:
    """How much of the record of decisions is kept: whichever limit is reached first."""

    keep: float = 7 * 86400.0
    """Seconds a decision can be asked about or given feedback."""

    bytes: int = 2 << 30
    """Size of the record on disk (or in memory, for `memory://`)."""

    inputs: bool = False
    """Whether decisions hold the input itself, not only its digest."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The process-wide settings, `[server]`."""

    host: str = "127.0.0.1"
    """Address of the data plane."""

    port: int = 8000
    """Port of the data plane; 0 picks a free one."""

    admin_host: str = "127.0.0.1"
    """Address of the control plane; leaving loopback requires a token."""

    admin_port: int = 8002
    """Port of the control plane; 0 picks a free one."""

    frontends: int = 1
    """Data-plane processes."""

    state: str = "sqlite:///.skysail/state.db"
    """Where state is kept: `sqlite:///relative` (to the file), `sqlite:////absolute`, or `memory://`."""

    token_env: str | None = None
    """Environment variable that holds the bearer token; no token is asked for when unset here."""

    max_body: int = 16 << 20
    """Largest request body, in bytes."""

    max_rows: int = 1024
    """Most inputs or observations in one request."""

    idle_timeout: float = 75.0
    """Seconds a keep-alive connection may be silent between requests."""

    header_timeout: float = 10.0
    """Seconds from a request's first byte to the end of its body (of its headers, then of each pause in the body)."""

    drain: float = 10.0
    """Seconds that work in flight is given on SIGTERM."""

    cache: CacheConfig = field(default_factory=CacheConfig)
    """The prediction cache."""

    ledger: LedgerConfig = field(default_factory=LedgerConfig)
    """The record of decisions and observations."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """Batch sizing of one model."""

    max: int = 4096
    """Most rows in one batch; the size itself is learned."""

    sizing: str = "quantile"
    """How the size is learned: from the estimated p99 of a batch's duration (`quantile`), or by trying (`aimd`)."""

    hold: float | None = None
    """Seconds that an idle replica waits for more rows; 0: never. Learned by default."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model, `[models.NAME]`: where it is and how it is run."""

    name: str
    """The model's name."""

    path: str
    """An artifact's absolute path, `FILE.py:function` with an absolute path, or an import path `module:function`."""

    runtime: str
    """`python`, `sklearn`, `onnx` or `lightgbm`; inferred from the path where not given."""

    input: str | None = None
    """Declaration of one row; `None`: the artifact's own, else `json` (resolved when the model loads)."""

    finite: bool = True
    """Whether NaN and infinities in an input are refused."""

    replicas: int = 1
    """Worker processes per version."""

    timeout: float = 10.0
    """Seconds after which a batch counts as hung, and its worker is killed."""

    threads: int = 1
    """BLAS/OpenMP threads per replica."""

    labels: tuple[Any, ...] | None = None
    """The class labels, in the order of the model's probabilities."""

    python: str | None = None
    """Absolute path of the interpreter of the model's own environment; the server's own by default."""

    cache: bool = True
    """Whether outputs are stored and evaluations in flight shared."""

    batch: BatchConfig = field(default_factory=BatchConfig)
    """Batch sizing."""

    import_root: str = ""
    """Absolute folder that import paths are looked up in first: the config file's."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceConfig:
    """The calibration of an application's confidence."""

    method: str
    """`conformal`."""

    target: float = 0.9
    """The share of labels that an answer's set, or interval, is to hold."""

    rate: float = 0.02
    """How much each miss, or hit, corrects."""

    forget: float = 0.998
    """What is left, after one more label, of what was seen of how far labels are from answers."""


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """An application, `[apps.NAME]`: what clients query."""

    name: str
    """The application's name."""

    models: tuple[str, ...]
    """Candidate models, in order of preference where nothing else decides."""

    policy: str = "single"
    """A policy's name, or the import path of one's own."""

    policy_params: dict[str, Any] = field(default_factory=dict)
    """The policy's parameters."""

    slo: float = 0.1
    """Latency objective in seconds."""

    default: bytes | None = None
    """The answer where no model's can be given, as JSON text; `None`: an HTTP error instead."""

    min_confidence: float = 0.0
    """An answer strictly below it is replaced by the default."""

    confidence: ConfidenceConfig | None = None
    """How the confidence of answers is calibrated; the policy's own, if not at all."""

    loss: str = "zero_one"
    """A loss's name, or the import path of one's own."""

    loss_params: dict[str, Any] = field(default_factory=dict)
    """The loss's parameters, such as `range` or `tolerance`."""

    cache: bool = True
    """Whether this application's queries read and fill the cache."""

    missing: str = "drop"
    """What stands for an ensemble's model that is not in time: nothing (`drop`), or its `mean` output."""

    hedge: bool = False
    """Whether a query to one model is put to another replica, or model, too, once it takes longer than the p95."""

    prefer_in_time: bool = False
    """Whether models that would be too late are left out of the selection, as long as another would not be."""

    import_root: str = ""
    """Absolute folder that import paths are looked up in first: the config file's."""

    code: str = ""
    """Digest of the files that a policy and a loss of one's own are in, so that another text is another setting."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration."""

    server: ServerConfig = field(default_factory=ServerConfig)
    """The process-wide settings."""

    models: dict[str, ModelConfig] = field(default_factory=dict)
    """The models by name."""

    apps: dict[str, AppConfig] = field(default_factory=dict)
    """The applications by name."""

    root: Path = Path()
    """The folder of the config file."""


@dataclass(frozen=True, kw_only=True)
class ReplicaSpec:
    """Where a frontend finds one worker."""

    name: str
    """`model@version/index`."""

    socket: str
    """Path of the Unix socket the worker serves."""


@dataclass(frozen=True, kw_only=True)
class VersionSpec:
    """One version of a model as frontends need to know it."""

    config: ModelConfig
    """The version's own settings."""

    version: int
    """Its number."""

    replicas: tuple[ReplicaSpec, ...]
    """Its workers."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What a frontend serves at one moment; sent by the control plane, whole, whenever it changes."""

    apps: dict[str, AppConfig] = field(default_factory=dict)
    """The applications by name."""

    versions: tuple[VersionSpec, ...] = ()
    """Every version that has workers: the current ones, those being tried, those draining."""

    current: dict[str, int] = field(default_factory=dict)
    """The current version of each model that has one."""
