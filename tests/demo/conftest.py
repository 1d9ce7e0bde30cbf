"""What the demo's tests share: its models, trained once, and a server made of a few lines."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from skysail.client import AsyncClient
from skysail.demo.digits import Digits
from skysail.demo.models import MODELS, train
from skysail.demo.score import Scores
from skysail.demo.sender import Answer, Observed
from skysail.demo.traffic import Traffic
from skysail.errors import from_code


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Digits]:
    """The demo's folder with its models, trained once, and the digits they were trained on."""
    folder = tmp_path_factory.mktemp("digits")
    return folder, train(folder, seed=0)


class FakeServer:
    """Answers the routes that the demo uses, each query after 10 ms; the answer is the picture's first pixel.

    After a deployment the answers name `svm@2`, and are wrong until ten labels have been taught; after the rollback
    they are right again. The best model has most weight unless it is known to be broken.
    """

    def __init__(self) -> None:
        self.svm = "svm@1"
        self.since = 0
        self.numbers = count()
        self.labels: dict[str, Any] = {}
        self.decisions: dict[str, dict[str, Any]] = {}
        self.refuse: set[str] = set()
        self.calls: list[str] = []

    def client(self) -> AsyncClient:
        """A client of this server."""
        return AsyncClient(transport=httpx.MockTransport(self._answer))

    async def predict(self, app: str, row: object) -> Answer:
        """As a `Sender` does."""
        return msgspec.convert(await self._ask(f"/apps/{app}/predict", {"input": row}), Answer)

    async def observe(self, app: str, observations: list[dict[str, Any]]) -> Observed:
        """As a `Sender` does."""
        return msgspec.convert(await self._ask(f"/apps/{app}/observe", {"observations": observations}), Observed)

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        response = await self._answer(httpx.Request("POST", f"http://fake{path}", json=body))
        if response.status_code != 200:
            raise from_code(**response.json()["error"])
        return response.json()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if any(part in path for part in self.refuse):
            return httpx.Response(500, json={"error": {"code": "model_error", "message": "refused"}})
        body = json.loads(request.content or "{}")
        return httpx.Response(200, json=self._route(path, body))

    def _route(self, path: str, body: dict[str, Any]) -> Any:
        match path.strip("/").split("/"):
            case ["apps", "digits", "predict"]:
                return self._predict(body["input"])
            case ["apps", "digits", "observe"]:
                return self._observe(body["observations"])
            case ["models", "svm", "versions"]:
                self.svm, self.since = "svm@2", len(self.labels)
                return {"model": "svm", "version": 2}
            case ["models", "svm", "current"]:
                self.svm, self.since = "svm@1", len(self.labels)
                return {"name": "svm", "current": 1}
            case ["models", "svm"]:
                return {"name": "svm", "current": 2, "versions": [{"version": 1}, {"version": 2}]}
            case ["predictions", id]:
                return self.decisions[id]
            case _:
                return self._status()

    @property
    def _led(self) -> bool:
        """Whether the best model has most weight: the weights follow a change after ten labels."""
        followed = len(self.labels) - self.since >= 10
        return followed == (self.svm == "svm@1")

    def _weights(self) -> dict[str, float]:
        rest = dict.fromkeys(MODELS[1:], 0.05)
        return {"svm": 0.8, **rest} if self._led else {"svm": 0.0, **rest, MODELS[1]: 0.85}

    def _predict(self, row: list[float]) -> dict[str, Any]:
        id = f"id-{next(self.numbers)}"
        refs = [self.svm, *(f"{model}@1" for model in MODELS[1:])]
        output = row[0] if self.svm == "svm@1" or not self._led else -1
        self.decisions[id] = {
            "weights": self._weights(),
            "models": [{"model": ref, "output": row[0] if ref != "svm@2" else 9} for ref in refs[:-1]]
            + [{"model": refs[-1], "output": None}],
        }
        return {
            "prediction_id": id,
            "output": output,
            "confidence": 0.9,
            "agreement": 1.0,
            "default": output == -1,
            "reason": "deadline" if output == -1 else None,
            "models": refs,
            "missing": [],
        }

    def _observe(self, observations: list[dict[str, Any]]) -> dict[str, Any]:
        fresh = [it for it in observations if it["prediction_id"] in self.decisions]
        self.labels.update({it["prediction_id"]: it["label"] for it in fresh})
        unknown = [i for i, it in enumerate(observations) if it not in fresh]
        rejected = [{"index": i, "code": "unknown_prediction", "message": "no such id"} for i in unknown]
        return {"accepted": len(fresh), "duplicates": 0, "rejected": rejected}

    def _status(self) -> dict[str, Any]:
        return {
            "apps": {"digits": {"weights": self._weights(), "latency_ms": {"p50": 2.0, "p99": 9.0}}},
            "models": {"svm": {"rows": 30, "batches": 15}, "logistic": {"rows": None, "batches": None}},
            "cache": {"hits": 10, "misses": 40},
        }


@pytest.fixture
def server() -> FakeServer:
    """A server in its first state."""
    return FakeServer()


def _traffic(queries: int) -> Traffic:
    """Queries ten milliseconds apart whose first pixel is the label, which is known 50 ms later."""
    labels = np.arange(queries) % 9
    images = np.repeat(labels[:, None].astype(np.float64), 64, axis=1)
    return Traffic(images=images, labels=labels, at=np.arange(queries) * 0.01, delays=np.full(queries, 0.05))


@pytest.fixture
def traffic() -> Traffic:
    """Three seconds of it."""
    return _traffic(300)


@pytest.fixture
def scores(traffic: Traffic) -> Scores:
    """Models that are always right, but for the bad release, which always says 9."""
    outputs = {f"{model}@1": traffic.labels for model in MODELS}
    return Scores(traffic.labels, outputs | {"svm@2": np.full(len(traffic), 9)}, MODELS)
