"""Bytes that leave or enter the process have a named byte order: LinuxONE's is not that of x86."""

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model.weights import each_weight

ROOT = Path(__file__).parents[1]
FOLDERS = ("api", "jobs", "worker", "model", "robot")
ORDERS = ("little", "big")
OF_ONE_BYTE = {"u1", "i1", "uint8", "int8", "bool", "b1"}
READS = {"frombuffer", "fromfile", "fromstring", "memmap"}
WRITES = {"tobytes", "tofile", "dumps"}
STRUCTS = {"pack", "unpack", "unpack_from", "pack_into", "iter_unpack", "calcsize", "Struct"}


def named_order(type_: ast.expr | None) -> bool:
    """Whether a type of numpy's, as it stands in the source, has one order of bytes or needs none."""
    if isinstance(type_, ast.Attribute):
        return type_.attr in OF_ONE_BYTE
    if isinstance(type_, ast.Call) and isinstance(type_.func, ast.Attribute):
        return type_.func.attr == "newbyteorder" and named_order(argument(type_, 0, "new_order"))
    return (
        isinstance(type_, ast.Constant)
        and isinstance(type_.value, str)
        and (type_.value in OF_ONE_BYTE or type_.value.startswith(("<", ">")))
    )


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """What a call gives for a parameter, by place or by name."""
    if len(call.args) > place:
        return call.args[place]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def in_this_machines_order(source: str) -> Iterator[str]:
    """Every call in `source` that reads or writes numbers in the order of this machine."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.byteorder":
            yield f"line {node.lineno}: {ast.unparse(node)}"
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, owner = node.func.attr, node.func.value
        named = True
        if name in ("from_bytes", "to_bytes"):
            order = argument(node, 1, "byteorder")
            named = isinstance(order, ast.Constant) and order.value in ORDERS
        elif name in READS:
            named = named_order(argument(node, 1, "dtype"))
        elif name in WRITES and ast.unparse(owner) not in ("json", "np", "self._serializer"):
            made = isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute)
            named = made and owner.func.attr == "astype" and named_order(argument(owner, 0, "dtype"))
        elif name in STRUCTS and ast.unparse(owner) == "struct":
            form = argument(node, 0, "format")
            if isinstance(form, ast.BinOp):
                form = form.left
                named = isinstance(form, ast.Name) and form.id == "order"
            else:
                named = False
            named = named or (isinstance(form, ast.Constant) and str(form.value).startswith(("<", ">", "!")))
        if not named:
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_that_reads_or_writes_numbers_names_their_byte_order(folder: str):
    for module in (ROOT / folder).rglob("*.py"):
        found = list(in_this_machines_order(module.read_text()))
        assert not found, f"{module.relative_to(ROOT)}: {'; '.join(found)}: say < or >, little or big"


@pytest.mark.parametrize(
    "source",
    [
        "np.frombuffer(data, np.uint16)",
        "np.frombuffer(data, 'u2')",
        "np.frombuffer(data, dtype=np.float32)",
        "np.frombuffer(data)",
        "np.fromfile(path, 'f4')",
        "array.tobytes()",
        "array.astype(np.float32).tobytes()",
        "array.astype('f4').tofile(path)",
        "int.from_bytes(data)",
        "int.from_bytes(data, sys.byteorder)",
        "number.to_bytes(4)",
        "struct.unpack('I', data)",
        "struct.pack('@H', 1)",
        "struct.unpack(form + 'I', data)",
    ],
)
def test_what_names_no_order_is_found(source: str):
    assert list(in_this_machines_order(source))


@pytest.mark.parametrize(
    "source",
    [
        "np.frombuffer(data, '<u2')",
        "np.frombuffer(data, np.uint8)",
        "array.astype('<f4').tobytes()",
        "int.from_bytes(data, 'little')",
        "number.to_bytes(4, byteorder='big')",
        "struct.unpack('>I', data)",
        "struct.unpack(order + 'I', data)",
        "json.dumps(document)",
    ],
)
def test_what_names_its_order_is_let_through(source: str):
    assert not list(in_this_machines_order(source))


@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_engines_get_this_machines_byte_order_from_any_file(tmp_path: Path, order: str):
    kernel = np.arange(6, dtype=np.int8).reshape(2, 3)
    bias, scale = np.array([1.5, -2], order), np.array([2, 3, 4], order)
    np.savez(tmp_path / "weights.npz", **{"bias": bias, "kernel": kernel, "kernel:scale": scale})
    weights = dict(each_weight(tmp_path / "weights.npz"))
    assert all(values.dtype.isnative and values.dtype == np.float32 for values in weights.values())
    assert weights["bias"].tolist() == [1.5, -2]
    assert np.array_equal(weights["kernel"], kernel * scale)
