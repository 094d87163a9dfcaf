from pathlib import Path

import pytest

from worker.inference.accelerator import accelerator

TELUM = "vendor_id       : IBM/S390\nfeatures\t: esan3 zarch vxe2 vxp sort dflt vxp2 nnpa sie\n"


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    file = tmp_path / "cpuinfo"
    file.write_text(TELUM)
    return file


def test_the_log_names_the_accelerator_and_that_it_may_be_used(cpuinfo: Path):
    description = accelerator({}, cpuinfo)
    assert description == (
        "this processor has an accelerator (nnpa); NNPA_DEVICES is unset: TensorFlow may use one"
    )


@pytest.mark.parametrize("switch", ["0", "false"])
def test_the_log_says_when_the_accelerator_is_switched_off(cpuinfo: Path, switch: str):
    description = accelerator({"NNPA_DEVICES": switch}, cpuinfo)
    assert description is not None
    assert f"NNPA_DEVICES is {switch}: TensorFlow must not use one" in description


def test_an_older_processor_is_said_to_have_none(cpuinfo: Path):
    cpuinfo.write_text(TELUM.replace(" nnpa", ""))
    assert "has no accelerator" in str(accelerator({}, cpuinfo))


def test_nothing_is_logged_on_other_processors(cpuinfo: Path, tmp_path: Path):
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\n")
    assert accelerator({}, cpuinfo) is None
    assert accelerator({}, tmp_path / "none") is None
