"""The systems that are compared: how each is started, spoken to and tuned. One more system is one more row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.peers.workloads import Shape

__all__ = ["SYSTEMS", "System"]

_LABEL = r'"label"\s*:\s*(\d+)'
_V2_LABEL = r'"data"\s*:\s*\[\s*(\d+)'
_V2_PATH = "/v2/models/m/infer"


@dataclass(frozen=True, kw_only=True)
class System:
    """A server that can be measured."""

    name: str
    """What it is called here."""

    command: str
    """How it is started: `{python}` and `{bin}` are those of its environment, `{servers}` the folder of our servers,
    `{port}` a free port.
    """

    environment: str = ""
    """Its environment; empty: the one that runs this."""

    packages: tuple[str, ...] = ()
    """Whose versions are reported."""

    path: str
    """Where predictions are posted."""

    shape: Shape = "plain"
    """How a row is written."""

    label: str = _LABEL
    """A pattern whose first group is the label in an answer."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables: how it is tuned."""

    tuned: str
    """The same in words, for the report."""

    contender: bool = False
    """Whether it is one of the fast ones, which are measured more often."""

    batches: bool = True
    """Whether it puts queries together."""

    def label_of(self, answer: str) -> int | None:
        """The label in an answer; None where there is none."""
        found = re.search(self.label, answer)
        return int(found[1]) if found else None


def _python(server: str) -> str:
    return f"{{python}} -m benchmarks.peers.servers.{server}"


_RAY = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"}

SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System(
            name="skysail",
            command=_python("skysail_serve"),
            path="/apps/bench/predict",
            label=r'"output"\s*:\s*(\d+)',
            tuned="one worker; batches and holds are learned; cache of 8 MiB, decisions in SQLite, policy single",
            contender=True,
        ),
        System(
            name="triton",
            command=_python("triton_repository"),
            environment="triton",
            packages=("nvidia-pytriton",),
            path=_V2_PATH,
            shape="v2",
            label=_V2_LABEL,
            settings={"BENCH_WAIT_MS": "0"},
            tuned="its server with a Python backend written for this; one instance, batches to 64, no wait (waiting is "
            "slower)",
            contender=True,
        ),
        System(
            name="mosec",
            command=_python("mosec_app"),
            environment="mosec",
            packages=("mosec",),
            path="/inference",
            settings={
                "MOSEC_PORT": "{port}",
                "MOSEC_ADDRESS": "127.0.0.1",
                "MOSEC_LOG_LEVEL": "warning",
                "BENCH_WAIT_MS": "1",
                "BENCH_BATCH": "32",
            },
            tuned="one worker, batches to 32, wait 1 ms (with batches of 64 rows of 784 floats its worker ends or "
            "hangs)",
            contender=True,
        ),
        System(
            name="fastapi",
            command=_python("fastapi_app"),
            environment="fastapi",
            packages=("fastapi", "uvicorn"),
            path="/predict",
            settings={"BENCH_WORKERS": "2"},
            tuned="two uvicorn processes with uvloop and httptools, the model called in the handler, nothing batched",
            contender=True,
            batches=False,
        ),
        System(
            name="pytriton",
            command=_python("pytriton_app"),
            environment="triton",
            packages=("nvidia-pytriton",),
            path=_V2_PATH,
            shape="v2",
            label=_V2_LABEL,
            settings={"BENCH_WAIT_MS": "0"},
            tuned="one model process, batches to 64, no wait, eight HTTP threads",
        ),
        System(
            name="ray",
            command=_python("ray_app"),
            environment="ray",
            packages=("ray",),
            path="/predict",
            settings=_RAY
            | {
                "BENCH_PROXY_OFFSET": "3",
                "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
                "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": "{port}",
                "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": "60999",
            },
            tuned="one replica, direct ingress (past the proxy), throughput-optimised, batches to 64, wait 2 ms",
        ),
        System(
            name="mlserver",
            command=_python("mlserver_app"),
            environment="mlserver",
            packages=("mlserver",),
            path=_V2_PATH,
            shape="v2",
            label=_V2_LABEL,
            tuned="one parallel worker, a runtime of our own, batches to 64, wait 2 ms",
        ),
        System(
            name="litserve",
            command=_python("litserve_app"),
            environment="litserve",
            packages=("litserve",),
            path="/predict",
            tuned="one worker, fast queue, batches to 64, wait 2 ms",
        ),
        System(
            name="bentoml",
            command="{bin}/bentoml serve benchmarks.peers.servers.bentoml_app:Predictor --port {port} --host 127.0.0.1",
            environment="bentoml",
            packages=("bentoml",),
            path="/predict",
            shape="nested",
            label=r"\[\s*(\d+)\s*\]",
            settings={
                "BENTOML_DO_NOT_TRACK": "true",
                "BENCH_WORKERS": "2",
                "BENCH_BATCH": "256",
                "BENCH_WAIT_MS": "1000",
            },
            tuned="two workers, batches to 256, latency target 1 s (a shorter one makes it refuse)",
        ),
    )
}
"""The systems by name, Skysail first."""
