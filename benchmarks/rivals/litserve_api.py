"""Serves by LitServe with batching."""

import base64
import sys
from typing import Any

import litserve
import numpy as np

from benchmarks.rivals.network import BATCH, load, predict, prepare


class Radiographs(litserve.LitAPI):
    """What clients ask."""

    def setup(self, device: str) -> None:
        """Load the network."""
        self._network = load()

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """Make the network's input of the image, which LitServe wants inside JSON."""
        return prepare(base64.b64decode(request["image"]))

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Stack several inputs."""
        return np.stack(inputs)

    def predict(self, inputs: np.ndarray) -> list[dict[str, Any]]:
        """Predict a batch."""
        return predict(self._network, inputs)

    def unbatch(self, outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Split the answers."""
        return outputs

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as JSON has it."""
        return output


if __name__ == "__main__":
    api = Radiographs(max_batch_size=BATCH, batch_timeout=0.05, api_path="/analyse")
    litserve.LitServer(api, accelerator="cpu", timeout=300).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
