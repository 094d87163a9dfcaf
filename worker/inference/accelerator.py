"""Telum's accelerator on LinuxONE, as the log says it when inference starts; TensorFlow drives it."""

from collections.abc import Mapping
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_FEATURE = "nnpa"
"""How the kernel names the instruction that reaches the accelerator, from IBM z16 on."""
_SWITCH = "NNPA_DEVICES"
"""IBM's TensorFlow leaves the accelerator alone where this is 0 or false."""


def accelerator(environment: Mapping[str, str], cpuinfo: Path = _CPUINFO) -> str | None:
    """Whether there is an accelerator and whether it may be used; None on a processor that is not s390x."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = next((line.split() for line in lines if line.startswith("features")), None)
    if features is None:
        return None
    there = "has an accelerator" if _FEATURE in features else "has no accelerator"
    setting = environment.get(_SWITCH)
    barred = setting is not None and setting.lower() in ("0", "false")
    allowed = "TensorFlow must not use one" if barred else "TensorFlow may use one"
    return f"this processor {there} ({_FEATURE}); {_SWITCH} is {setting or 'unset'}: {allowed}"
