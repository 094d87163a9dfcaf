"""docs/remote-reading.md, as a telemedicine provider follows it: from nothing to a signed report."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.addresses import free_ports
from stack.part import ROOT
from tests.conftest import await_that
from tests.integration.conftest import Stack
from tests.integration.pages import Newcomer, following, unrun_blocks

PAGE = (ROOT / "docs/remote-reading.md").read_text()
PYTHON = "/tmp/osteo/bin/python /tmp"


@pytest.fixture(scope="module")
def newcomer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("provider")
    (port,) = free_ports(1)
    # The commands of the operator find `make up` in its folder.
    (folder / "variables").write_text(f"export OSTEO_VAR={stack.folder}\n")
    with following(
        PAGE, folder, {"http://127.0.0.1:8000": stack.ready["api"], "9000": str(port)}
    ) as newcomer:
        yield newcomer


def test_a_provider_gets_a_signed_report_by_the_page_alone(newcomer: Newcomer):
    newcomer.run("export OSTEO_URL")
    newcomer.run("secret()")
    log = newcomer.folder / "receiver.log"
    newcomer.start(f"{PYTHON}/receiver.py", log)
    await_that(lambda: "Running on" in log.read_text())
    newcomer.run("curl -sS -f")
    job = json.loads((newcomer.folder / "job.json").read_text())["id"]
    reading, named, state, *_ = newcomer.run("export JOB=").split()
    assert (named, state) == (job, "requested")
    said = newcomer.run(f"{PYTHON}/read.py").splitlines()
    assert re.fullmatch("blind True disagreement (none|location|missed|not_comparable)", said[0])
    assert said[1] == f"signed {reading}"
    await_that(lambda: f"reading.signed {reading} fracture Dr. Ada Bone\n" in log.read_text())
    assert f"reading.requested {reading} requested\n" in log.read_text()
    assert newcomer.run(f"{PYTHON}/verify.py").startswith("verified 1 fracture Dr. Ada Bone ")
    amended, *verified = newcomer.run(f"{PYTHON}/amend.py").splitlines()
    assert amended == "amended [None, 'Seen at a second look.']"
    assert [line.split()[1] for line in verified] == ["1", "2"]
    await_that(lambda: f"reading.amended {reading} fracture Dr. Ada Bone\n" in log.read_text())
    requested, returned = newcomer.run("/tmp/osteo/bin/osteo readings request").splitlines()
    other = requested.split()[0]
    assert returned == "returned other_view"
    await_that(lambda: f"reading.returned {other} returned\n" in log.read_text())
    exported = json.loads(newcomer.run(".venv/bin/python -m admin.export_readings"))
    assert exported["exported"] == 1


def test_every_block_of_the_page_is_run():
    assert not unrun_blocks(PAGE, Path(__file__), PYTHON)
