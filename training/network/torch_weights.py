"""Reads the tensors of a file in the form that PyTorch wrote before 1.6, without PyTorch.

The form is a pickle, whose opcodes are read here and never run: a file can make nothing but dictionaries,
tuples and numbers.
"""

import pickletools
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np

from training.run.errors import StepRefused

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "GLOBAL"}
_TYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_HEADS = 3
"""Values before that of the tensors: a number, the version of the form, and what is known of the machine."""


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors under their names; StepRefused for a file of another form."""
    try:
        with path.open("rb") as file:
            for _ in range(_HEADS):
                _read_value(file)
            described, keys = _read_value(file), _read_value(file)
            types = {tensor[0][2]: _TYPES[tensor[0][1]] for tensor in described.values()}
            stored = {key: _read_storage(file, types[key]) for key in keys}
        return {name: _tensor(stored[tensor[0][2]], *tensor[1:4]) for name, tensor in described.items()}
    except (ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise StepRefused(f"{path} holds no weights that can be read: {error}") from error


def _read_storage(file: IO[bytes], dtype: str) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    stored = np.frombuffer(file.read(max(0, count) * np.dtype(dtype).itemsize), dtype)
    if len(stored) != count:
        raise ValueError(f"it has {len(stored)} of {count} numbers")
    return stored


def _tensor(stored: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    # `as_strided` checks no bounds.
    if min(offset, *strides, *(side - 1 for side in shape)) < 0 or last >= len(stored):
        raise ValueError("a tensor lies beyond its numbers")
    in_bytes = [stride * stored.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(stored[offset:], shape, in_bytes).copy()


def _read_value(file: IO[bytes]) -> Any:
    """Read one pickle: of an object its arguments alone, and of any kind of dictionary a plain one."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        place = len(stack) - 1 - stack[::-1].index(_MARK)
        values = stack[place + 1 :]
        del stack[place:]
        return values

    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "BINPERSID":  # An id stands for what it names.
                continue
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "APPENDS":
                values = since_mark()
                stack[-1].extend(values)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                stack[-1][key] = value
            case "SETITEMS":
                values = since_mark()
                stack[-1].update(zip(values[::2], values[1::2], strict=True))
            case "REDUCE":
                arguments, name = stack.pop(), stack.pop()
                stack.append({} if name == "collections OrderedDict" else arguments)
            case "BUILD":  # Attributes of a dictionary, which say nothing of the tensors.
                stack.pop()
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _VALUES:
                stack.append(argument)
            case name:
                raise ValueError(f"it has the opcode {name}")
    raise ValueError("it ends early")
