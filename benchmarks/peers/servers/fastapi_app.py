"""What people write by hand: FastAPI on uvicorn, the model called in the handler, nothing batched."""

from __future__ import annotations

import uvicorn
from benchmarks.peers.servers.shared import PORT, WORKERS, load_model
from fastapi import FastAPI
from pydantic import BaseModel

__all__ = ["Query", "app"]

app = FastAPI()
_model = load_model()


class Query(BaseModel):
    """The body of a request."""

    input: list[float]


@app.post("/predict")  # type: ignore[untyped-decorator]
async def _predict(query: Query) -> dict[str, int]:
    return {"label": _model.predict([query.input])[0]}


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.servers.fastapi_app:app",
        host="127.0.0.1",
        port=PORT,
        workers=WORKERS,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        backlog=2048,
    )
