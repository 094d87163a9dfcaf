"""Serves by BentoML with adaptive batching: one service decodes, another runs the network in batches."""

from typing import Any

import bentoml
import numpy as np

from benchmarks.rivals.network import BATCH, load, predict, prepare


@bentoml.service(workers=1, traffic={"timeout": 300, "max_concurrency": 1000})
class Network:
    """The network."""

    def __init__(self) -> None:
        self._network = load()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=300_000)
    def predict(self, inputs: np.ndarray) -> list[dict[str, Any]]:
        """Predict for inputs (n, size, size, 1)."""
        return predict(self._network, inputs)


@bentoml.service(workers=1, traffic={"timeout": 300, "max_concurrency": 1000})
class Radiographs:
    """What clients ask."""

    network = bentoml.depends(Network)

    @bentoml.api
    async def analyse(self, image: bytes, /) -> dict[str, Any]:
        """Predict one radiograph."""
        answers = await self.network.to_async.predict(prepare(image)[None])
        return dict(answers[0])
