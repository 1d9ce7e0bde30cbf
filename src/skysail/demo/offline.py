"""What each of the demo's models says of each picture, computed in this process with the very artifacts that are
served.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from skysail.config.load import load_config
from skysail.config.schema import ModelConfig
from skysail.demo.digits import Images, Labels
from skysail.demo.models import BAD_RELEASE, BEST, CONFIG, one_thread
from skysail.runtimes.base import Artifact
from skysail.runtimes.table import runtime_class

__all__ = ["outputs"]


def outputs(folder: Path, images: Images) -> dict[str, Labels]:
    """The output of each model version, `name@version`, for each picture; the bad release is version 2 of the best
    model.
    """
    models = load_config(folder / CONFIG).models
    bad = replace(models[BEST], path=str(folder / BAD_RELEASE))
    with one_thread():
        found = {f"{name}@1": _predict(model, images) for name, model in models.items()}
        return found | {f"{BEST}@2": _predict(bad, images)}


def _predict(model: ModelConfig, images: Images) -> Labels:
    runtime = runtime_class(model.runtime).load(Artifact(path=model.path, threads=model.threads))
    try:
        return np.asarray(runtime.predict(images.astype(np.float32)), dtype=np.int64)
    finally:
        runtime.close()
