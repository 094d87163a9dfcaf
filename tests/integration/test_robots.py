"""docs/robots.md, as an integrator of a robot follows it: from nothing to a received target."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from jobs.targets.states import BlockingReason, TargetState
from stack.addresses import free_ports
from stack.part import ROOT
from tests.conftest import await_that
from tests.integration.conftest import Stack
from tests.integration.pages import Newcomer, following, unrun_blocks
from tests.robot.peers import needs_mosquitto

PAGE = (ROOT / "docs/robots.md").read_text()
PYTHON = ".venv/bin/python /tmp"
ROS_PYTHON = "var/peers/ros/bin/python"


@pytest.fixture(scope="module")
def newcomer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("robots")
    ports = dict(zip(("9000", "8900", "8901", "1883", "18944"), map(str, free_ports(5)), strict=True))
    # The commands of the operator find `make up` in its folder.
    (folder / "variables").write_text(f"export OSTEO_VAR={stack.folder}\n")
    with following(PAGE, folder, {"http://127.0.0.1:8000": stack.ready["api"], **ports}) as newcomer:
        newcomer.run("export OSTEO_URL")
        newcomer.run("secret()")
        assert json.loads(newcomer.run("curl -sS -f -X PATCH"))["events"] == [
            "job.failed",
            "org.osteo.targets.v1",
        ]
        yield newcomer


def test_an_integrator_gets_a_reviewed_target_by_the_page_alone(newcomer: Newcomer, stack: Stack):
    log = newcomer.folder / "receiver.log"
    newcomer.start(f"{PYTHON}/receiver.py", log)
    await_that(lambda: "Running on" in log.read_text())
    newcomer.run(f"{PYTHON}/modality.py")
    job = json.loads((newcomer.folder / "job.json").read_text())["id"]
    await_that(lambda: f"{job} 1 advisory False\n" in log.read_text())
    made = json.loads(newcomer.run('curl -sS -f "$OSTEO_URL'))
    schema = stack.request("GET", "/schemas/targets-1.json").json()
    jsonschema.Draft202012Validator(schema).validate(made)
    assert newcomer.run(f"{PYTHON}/consume.py") == "not used: advisory not_reviewed\n"
    stack.await_unused_code()
    assert newcomer.run(f"{PYTHON}/read.py") == "signed\n"
    await_that(lambda: f"{job} 2 reviewed True\n" in log.read_text())
    used = newcomer.run(f"{PYTHON}/consume.py")
    assert used.startswith(f"a ray in osteo/{job}/source along "), used
    newcomer.run('curl -sS -f -H "Authorization: Bearer $OSTEO_KEY" -H "Accept: application/x-mcap"')
    topics = {line.split()[1] for line in newcomer.run(f"{PYTHON}/replay.py").splitlines()}
    assert topics >= {"/osteo/target", "/osteo/rays", "/osteo/camera_info", "/tf_static", "/diagnostics"}


@needs_mosquitto
def test_an_arm_moves_to_a_reviewed_target_by_the_page_alone(newcomer: Newcomer, stack: Stack):
    broker, robot, arm = (newcomer.folder / f"{name}.log" for name in ("broker", "robot", "arm"))
    newcomer.start("/usr/sbin/mosquitto", broker)
    await_that(lambda: " running" in broker.read_text())
    newcomer.start(".venv/bin/python -m robot", robot)
    await_that(lambda: "status: online" in robot.read_text())
    newcomer.run("# The next picture")
    newcomer.start(f"{PYTHON}/arm.py", arm)
    await_that(lambda: arm.read_text() == "still\n")
    stack.await_unused_code()
    assert newcomer.run("# The second report") == "signed\n"
    await_that(lambda: re.fullmatch(r"still\nmoves to target_\w+\n", arm.read_text()))
    assert newcomer.run(f"{PYTHON}/igtl.py") == "reviewed 1050.0 mm\n"


def test_a_node_of_ros_shows_the_rays_by_the_page_alone(newcomer: Newcomer):
    newcomer.run("export ROS_AUTOMATIC")
    if not (ROOT / ROS_PYTHON).exists():
        pytest.skip("NO TARGET WAS SENT BY ROS 2: `make var/peers/ros/installed` installs it")
    robot, node = (newcomer.folder / f"{name}.log" for name in ("ros", "node"))
    newcomer.start("var/peers/ros/bin/python -m robot", robot)
    await_that(lambda: "status: online" in robot.read_text())
    newcomer.start("var/peers/ros/bin/python /tmp/node.py", node)
    await_that(lambda: "osteo: robot: online\n" in node.read_text())
    newcomer.run("# A picture for ROS 2")
    job = json.loads((newcomer.folder / "job.json").read_text())["id"]
    await_that(lambda: f"1 rays in osteo/{job}/source\n" in node.read_text())
    await_that(lambda: "osteo: robot: online osteo: targets: advisory\n" in node.read_text())


def test_the_targets_that_the_page_shows_match_their_schema(stack: Stack):
    (shown,) = re.findall(r"<!-- Targets -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    schema = stack.request("GET", "/schemas/targets-1.json").json()
    jsonschema.Draft202012Validator(schema).validate(json.loads(shown))


def test_the_page_has_every_state_and_every_reason():
    named = set(re.findall(r"`(\w+)`", PAGE.split("\n## States\n")[1].split("\n## ")[0]))
    assert named >= {*TargetState, *BlockingReason}


def test_every_block_of_the_page_is_run():
    assert not unrun_blocks(PAGE, Path(__file__), PYTHON)
