"""Holds the one OpenVINO core of a process."""

from functools import cache

import openvino


@cache
def core() -> openvino.Core:
    """Return the process's core, which stays until the process ends.

    A core replaces the stack that signals are handled on, and restores the former one when it is destroyed.
    Where the first of two cores is destroyed first, the second restores a stack that is already freed.
    The next signal then ends the process with a segmentation fault.
    """
    return openvino.Core()
