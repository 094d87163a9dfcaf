"""Reads from the kernel which numbers the processor multiplies fast: by that engines are chosen and told."""

import os
from pathlib import Path

_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_INT8 = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Flags of processors, as the kernel names them on x86 and, of bfloat16, on ARM."""

_BEYOND_AVX2 = ("avx512", "avx_vnni", "amx_")

CPUINFO = Path("/proc/cpuinfo")
AS_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""The environment in which oneDNN, and so OpenVINO, takes any x86 processor for one with AVX2 alone."""


def taken_for_avx2() -> bool:
    """Whether this process runs in the environment AS_AVX2."""
    return AS_AVX2.items() <= os.environ.items()


def multiplies_in_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16; on others bfloat16 would be slower."""
    return not _BFLOAT16.isdisjoint(_flags())


def adds_int8_in_32_bits() -> bool:
    """Whether the processor has VNNI or AMX, which add products of int8 without overflow."""
    return not _INT8.isdisjoint(_flags())


def adds_int8_in_16_bits() -> bool:
    """Whether the processor has AVX2 alone, which adds pairs of products of int8 and cuts off large sums."""
    return "avx2" in _flags() and not adds_int8_in_32_bits()


def _flags() -> list[str]:
    """List the flags of the first core, in an environment AS_AVX2 without those that OpenVINO leaves unused.

    There are none where the kernel names none, as on LinuxONE.
    """
    try:
        with CPUINFO.open() as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return []
    flags = line.partition(":")[2].split()
    if taken_for_avx2():
        return [flag for flag in flags if not flag.startswith(_BEYOND_AVX2)]
    return flags
