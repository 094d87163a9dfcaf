"""Writes tensors in the form that PyTorch wrote before 1.6, without PyTorch."""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


class _Storage:
    """The numbers of one tensor."""

    def __init__(self, key: str, values: np.ndarray, kind: type) -> None:
        self.key, self.values, self.kind = key, values, kind


class _Tensor:
    """A view of a storage, as PyTorch pickles it."""

    def __init__(self, storage: _Storage, offset: int, rebuild: Any) -> None:
        self.storage, self.offset, self.rebuild = storage, offset, rebuild

    def __reduce__(self) -> tuple[Any, ...]:
        shape = self.storage.values.shape
        strides = tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
        return self.rebuild, (self.storage, self.offset, shape, strides, False, OrderedDict())


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> tuple[Any, ...] | None:
        if not isinstance(value, _Storage):
            return None
        return ("storage", value.kind, value.key, "cpu", value.values.size + 2, None)


def write_torch_file(path: Path, tensors: Mapping[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write tensors of float32 or int64, each two numbers behind the beginning of its storage."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    kinds = {}
    for name, dtype in (("FloatStorage", "float32"), ("LongStorage", "int64")):
        kinds[dtype] = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kinds[dtype])

    def _rebuild_tensor_v2() -> None:
        """Stand for PyTorch's function, whose name alone is written."""

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    storages = {
        name: _Storage(str(n), values, kinds[values.dtype.name])
        for n, (name, values) in enumerate(tensors.items())
    }
    described = OrderedDict((name, _Tensor(one, 2, _rebuild_tensor_v2)) for name, one in storages.items())
    described._metadata = OrderedDict()  # type: ignore[attr-defined]
    with path.open("wb") as file:
        for value in (
            MAGIC,
            VERSION,
            {"little_endian": True},
            described,
            [one.key for one in storages.values()],
        ):
            written = io.BytesIO()
            _Pickler(written, protocol=2).dump(value)
            file.write(written.getvalue())
        for one in storages.values():
            little = one.values.astype(one.values.dtype.newbyteorder("<"))
            file.write(struct.pack("<q", little.size + 2) + bytes(2 * little.itemsize) + little.tobytes())
