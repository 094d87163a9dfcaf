"""The units of deploy/systemd, run by a systemd as docs/deploy.md says, over real stores."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import urllib3

from stack.addresses import free_ports, free_row
from tests import pictures
from tests.conftest import Servers
from tests.deploy.booted import ROOT, SECONDS, Booted, booted

PAGE = (ROOT / "docs/deploy.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(SECRETS,) = (block for block in BLOCKS if block.startswith("(umask 077\n mkdir -p /etc/osteo/secrets"))
(PARTS,) = (block for block in BLOCKS if "systemctl enable --now osteo-api" in block)
RUNNING = ("osteo-api", "osteo-inference@1", "osteo-delivery", "osteo-sweeper", "osteo-flower")


@dataclass
class Machine:
    """The machine on which an operator has followed the page."""

    debian: Booted
    url: str
    tens: tuple[str, str]
    """The ports of metrics without their last digits: of the parts, and of the instances of inference."""

    def submitted(self, key: str) -> dict:
        """Submit a radiograph, and return its job once it has ended."""
        headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30", "Content-Type": "image/png"}
        image = pictures.encoded(pictures.gray())
        answer = urllib3.request("POST", f"{self.url}/v1/jobs", headers=headers, body=image, timeout=60)
        assert answer.status in (200, 202), answer.data
        job = answer.json()
        awaited(lambda: self.job(key, job["id"])["state"] not in ("queued", "running"))
        return self.job(key, job["id"])

    def job(self, key: str, job_id: str) -> dict:
        headers = {"Authorization": f"Bearer {key}"}
        return urllib3.request("GET", f"{self.url}/v1/jobs/{job_id}", headers=headers, timeout=60).json()


def awaited(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3 * SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def machine(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A Debian on which the blocks of the page were run, with free ports and the stores of the tests."""
    folder = tmp_path_factory.mktemp("debian")
    etc = folder / "etc"
    (etc / "systemd/system/osteo-.service.d").mkdir(parents=True)
    # The Python of the tests may lie in a home.
    (etc / "systemd/system/osteo-.service.d/tests.conf").write_text("[Service]\nProtectHome=no\n")
    api_port, flower_port = free_ports(2)
    units = "/etc/systemd/system/osteo-*.service"
    ten = -(-free_row(29, avoiding=(api_port, flower_port)) // 10)
    tens = str(ten), str(ten + 1)
    moved = (
        f"sed -i 's/127.0.0.1:8000/127.0.0.1:{api_port}/; s/port=5555/port={flower_port}/;"
        f" s/METRICS_PORT=810/METRICS_PORT={tens[0]}/; s/METRICS_PORT=811/METRICS_PORT={tens[1]}/' {units}\n"
    )
    with booted(folder) as debian:
        debian.run(SECRETS)
        debian.run(stores_of_the_tests(servers))
        debian.run(PARTS.replace("systemctl daemon-reload\n", f"{moved}systemctl daemon-reload\n"))
        machine = Machine(debian, f"http://127.0.0.1:{api_port}", tens)
        awaited(lambda: answers(f"{machine.url}/health/ready"))
        yield machine


def stores_of_the_tests(servers: Servers) -> str:
    """What an operator writes into the files: the addresses of the stores, and the keys of the S3 service."""
    keys = "\n".join(f"{name}={os.environ[name]}" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    settings = f"S3_ENDPOINT_URL={servers.s3_url}\nS3_BUCKET=test-units\nAWS_DEFAULT_REGION=us-east-1\n"
    return f"""
cd /etc/osteo
printf '%s' '{settings}' > settings
for role in api inference delivery sweeper setup; do echo '{keys}' > secrets/s3-$role; done
echo 'REDIS_URL={servers.redis_url}' > secrets/redis
sed -i 's,^CELERY_BROKER_URL=.*,CELERY_BROKER_URL={servers.redis_url},' secrets/flower
"""


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=5, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.fixture(scope="module")
def key(machine: Machine) -> str:
    return json.loads(machine.debian.run("osteo-admin keys create --client clinic-a"))["api_key"]


def test_a_job_is_analysed_by_the_units(machine: Machine, key: str):
    assert machine.submitted(key)["state"] == "succeeded"
    for unit in RUNNING:
        assert machine.debian.says(f"{unit}.service", "ActiveState") == "active", unit


def test_each_worker_serves_its_metrics_at_a_port_of_its_own(machine: Machine):
    machine.debian.run("systemctl start osteo-inference@2 osteo-shadow")
    parts, instances = machine.tens
    ports = [f"{parts}{last}" for last in "234"] + [f"{instances}{last}" for last in "12"]

    def analyses(port: str) -> bool:
        url = f"http://127.0.0.1:{port}/metrics"
        awaited(lambda: answers(url))
        return b"osteo_batch_size_bucket" in urllib3.request("GET", url).data

    assert [port for port in ports if analyses(port)] == [f"{instances}1", f"{instances}2"]
    machine.debian.run("systemctl stop osteo-inference@2 osteo-shadow")


def test_each_unit_runs_as_a_user_of_its_own_and_without_rights(machine: Machine):
    users = set()
    for unit in RUNNING:
        pid = machine.debian.says(f"{unit}.service", "MainPID")
        status = dict(
            line.split(":\t", 1) for line in machine.debian.run(f"cat /proc/{pid}/status").splitlines()
        )
        users.add(status["Uid"].split("\t")[0])
        assert (status["CapEff"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "1", "2"), unit
    assert len(users) == len(RUNNING)
    assert "0" not in users


def test_commands_of_an_operator_run_as_a_user_of_their_own(machine: Machine):
    machine.debian.run("osteo-admin export_readings /var/lib/osteo-admin/readings")
    owner = machine.debian.run("stat --format='%U %G %a' /var/lib/osteo-admin/readings /var/lib/osteo-admin")
    assert re.fullmatch(r"osteo-admin osteo-admin \d+\nosteo-admin osteo-admin 700\n", owner)


def test_a_worker_that_dies_is_started_again_and_works(machine: Machine, key: str):
    before = machine.debian.says("osteo-inference@1.service", "MainPID")
    machine.debian.run("systemctl kill --kill-whom=main --signal=KILL osteo-inference@1")
    awaited(lambda: machine.debian.says("osteo-inference@1.service", "MainPID") not in ("0", before))
    assert machine.submitted(key)["state"] == "succeeded"


def test_a_shadow_that_dies_is_started_again(machine: Machine):
    def lives() -> bool:
        return machine.debian.run("osteo-admin alive shadow && echo yes || true") == "yes\n"

    machine.debian.run("systemctl start osteo-shadow")
    awaited(lives)
    before = machine.debian.says("osteo-shadow.service", "MainPID")
    machine.debian.run("systemctl kill --kill-whom=main --signal=KILL osteo-shadow")
    awaited(lambda: machine.debian.says("osteo-shadow.service", "MainPID") not in ("0", before))
    machine.debian.run("systemctl stop osteo-shadow")
    assert machine.debian.says("osteo-shadow.service", "Result") == "success"


def test_a_part_with_a_wrong_setting_ends_and_stays_ended(machine: Machine):
    machine.debian.run(
        "echo OSTEO_SWEEP_SECONDS=never >> /etc/osteo/settings\nsystemctl restart osteo-sweeper || true"
    )
    awaited(lambda: machine.debian.says("osteo-sweeper.service", "ActiveState") == "failed")
    said = machine.debian.run("journalctl --unit osteo-sweeper --output cat --lines 5")
    assert "OSTEO_SWEEP_SECONDS='never' is not a float" in said
    machine.debian.run("sed -i '/never/d' /etc/osteo/settings\nsystemctl restart osteo-sweeper")


def test_a_stop_lets_each_part_end_by_itself(machine: Machine):
    machine.debian.run("systemctl stop osteo.target")
    for unit in RUNNING:
        awaited(lambda unit=unit: machine.debian.says(f"{unit}.service", "ActiveState") == "inactive")
        assert machine.debian.says(f"{unit}.service", "Result") == "success"
    machine.debian.run("systemctl start osteo.target")
