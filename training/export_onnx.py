"""Writes a bundle's network as one ONNX file with its weights, for compilers such as IBM's zDLC.

docs/linuxone.md says when it is needed. It runs on x86 and ARM, as every step that writes ONNX:

    python -m training.export_onnx model/bundle osteo.onnx
"""

import argparse
from pathlib import Path

from model.bundle import read_bundle
from model.onnx_graph import INPUT, with_weights


def main() -> None:
    """Write the file, and print the shape of its input."""
    parser = argparse.ArgumentParser(prog="python -m training.export_onnx", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("onnx", type=Path)
    arguments = parser.parse_args()
    bundle = read_bundle(arguments.bundle)
    arguments.onnx.write_bytes(with_weights(bundle))
    size = bundle.description.input_size
    print(f"{arguments.onnx}: {INPUT} float32 (n, 1, {size}, {size}) in -1..1")


if __name__ == "__main__":
    main()
