"""Telum's accelerator on LinuxONE, as the log says it when inference starts; TensorFlow drives it."""

from collections.abc import Mapping
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
FEATURE = "nnpa"
"""How the kernel names the instruction that reaches the accelerator, from IBM z16 on."""
SWITCH = "NNPA_DEVICES"
"""IBM's TensorFlow leaves the accelerator alone where this is 0 or false."""


def accelerator(environment: Mapping[str, str], cpuinfo: Path = CPUINFO) -> str | None:
    """Whether there is an accelerator and whether it may be used; None on a processor that is not s390x."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = next((line.split() for line in lines if line.startswith("features")), None)
    if features is None:
        return None
    there = "has an accelerator" if FEATURE in features else "has no accelerator"
    setting = environment.get(SWITCH)
    barred = setting is not None and setting.lower() in ("0", "false")
    allowed = "TensorFlow must not use one" if barred else "TensorFlow may use one"
    return f"this processor {there} ({FEATURE}); {SWITCH} is {setting or 'unset'}: {allowed}"
