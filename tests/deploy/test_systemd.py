"""deploy/systemd runs what docker-compose.yml runs, each role with its own secrets, and closed off."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.compose.test_compose_files import DOCKERFILE, OPTIONAL, OURS, SECRETS, SERVICES
from tests.deploy.test_kubernetes_parity import bytes_of, seconds_of
from tests.deploy.units import FOLDER, HOME, ROOT, UNITS, command, credentials, installed, needs_systemd, unit

PAGE = (ROOT / "docs/deploy.md").read_text()
(MAKE_SECRETS,) = re.findall(r"```sh\n(\(umask 077\n mkdir -p /etc/osteo/secrets.*?)```", PAGE, re.DOTALL)
EXPOSURE = "20"
"""Most exposure by `systemd-analyze security`, in tenths: from 0 to 100."""
every_unit = pytest.mark.parametrize("role", sorted(UNITS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of secrets that the commands of the page make."""
    folder = tmp_path_factory.mktemp("secrets")
    block = MAKE_SECRETS.replace("/etc/osteo", str(folder))
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=folder, check=True)
    return folder / "secrets"


FILES = {"OSTEO_SMTP_URL": "smtp", "OSTEO_OIDC_CLIENT_SECRET": "oidc"}  # pragma: allowlist secret
"""The files of the secrets that a service need not have."""


def given(role: str, made: Path) -> dict[str, str]:
    """The variables that a role's command has from its credentials."""
    files = [made / credentials(role)[name].name for name in command(role)[0]]
    launcher = FOLDER / "with-files"
    ran = subprocess.run(
        [launcher, *files, "--", "env", "-0"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(line.split("=", 1) for line in ran.stdout.split("\0") if line)
    return {name: value for name, value in variables.items() if name not in ("PATH", "PWD", "_")}


def test_every_role_of_compose_has_a_unit():
    assert UNITS.keys() == OURS.keys()
    enabled = {role for role in UNITS if unit(role).get("WantedBy") == ["osteo.target"]}
    assert enabled == {role for role in UNITS if SERVICES[role].get("profiles") != ["setup"]}


@every_unit
def test_a_unit_runs_the_command_of_compose_on_this_machine_alone(role: str):
    python, *words = command(role)[1]
    assert python == f"{HOME}/.venv/bin/python"
    (of_image,) = re.findall(r"^CMD (.*gunicorn.*)$", DOCKERFILE, re.MULTILINE)
    wanted = SERVICES[role].get("command") or json.loads(of_image)
    module = wanted[1:] if wanted[0] == "python" else ["-m", *wanted]
    assert words == [word.replace("0.0.0.0", "127.0.0.1") for word in module]


@every_unit
def test_a_unit_has_the_secrets_of_its_role_and_no_others(role: str, made: Path):
    wanted = {name for name in SERVICES[role]["environment"] if SECRETS.search(name)} - {"OSTEO_KEY_SECONDS"}
    assert set(command(role)[0]) == credentials(role).keys(), "a credential that is not read, or not there"
    assert given(role, made).keys() == wanted - OPTIONAL
    for name in wanted & OPTIONAL:
        assert FILES[name] in credentials(role)
    settings = "OSTEO_PUBLIC_URL" in SERVICES[role]["environment"]
    assert unit(role).get("EnvironmentFile", []) == (["/etc/osteo/settings"] if settings else [])


@pytest.mark.parametrize(
    "line",
    ["s3cr+et", "s3cret", "s3 cr=et", "3s3cr=et", "s3+cr=et", "=s3cret"],  # pragma: allowlist secret
)
def test_a_line_without_a_name_is_refused_and_printed_nowhere(line: str, tmp_path: Path):
    file = tmp_path / "redis"
    file.write_text(f"# of the queue\n\n{line}\n")
    ran = subprocess.run([FOLDER / "with-files", file, "--", "env"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"{file}: a line is not NAME=value\n"


def test_the_secrets_of_the_page_fit_each_other_and_are_new(made: Path):
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in made.iterdir())
    assert {file.name for file in made.iterdir()} == {
        file.name for role in UNITS for file in credentials(role).values()
    }
    url = given("sweeper", made)["REDIS_URL"]
    assert given("flower", made)["CELERY_BROKER_URL"] == url
    keys = {role: given(role, made)["AWS_SECRET_ACCESS_KEY"] for role in UNITS if role != "flower"}
    assert keys.pop("shadow") == keys["inference"]
    assert len(set(keys.values())) == len(keys)


@every_unit
def test_a_unit_has_the_limits_of_compose_and_the_time_to_end(role: str):
    service, values = SERVICES[role], unit(role)
    (memory,), (tasks,) = values["MemoryMax"], values["TasksMax"]
    assert bytes_of(memory.lower()) == bytes_of(service["mem_limit"])
    assert int(tasks) == service["pids_limit"]
    if values["Type"] == ["exec"]:
        assert int(values["TimeoutStopSec"][0]) == seconds_of(service.get("stop_grace_period", "10s"))
        assert (values["KillMode"], values["KillSignal"]) == (["mixed"], ["SIGTERM"])
        assert values["Restart"] == ["always"]


@every_unit
def test_no_name_of_a_unit_is_set_again_for_all(role: str):
    """What all.conf sets, it sets over the units."""
    for name, values in unit(role).items():
        assert len(values) == 1 or name in ("LoadCredential", "SystemCallFilter", "Environment"), name


def port_of(role: str, instance: str = "1") -> int:
    """The port of the metrics of a unit; systemd puts the name of its instance in the place of %i."""
    (line,) = (line for line in unit(role)["Environment"] if line.startswith("OSTEO_METRICS_PORT="))
    return int(line.removeprefix("OSTEO_METRICS_PORT=").replace("%i", instance))


def test_each_worker_and_each_instance_has_a_port_of_metrics_of_its_own():
    ports = [port_of("inference", str(number)) for number in range(1, 10)]
    ports += [port_of(role) for role in ("delivery", "sweeper", "shadow")]
    assert len(set(ports)) == 12
    assert set(ports) <= set(range(1024, 32_768)), "outgoing connections have the others"
    assert "%i" in UNITS["inference"].read_text()


def test_prometheus_watches_the_units_that_are_enabled_on_each_machine():
    watched = yaml.safe_load((ROOT / "deploy/monitoring/prometheus.yml").read_text())["scrape_configs"]
    (workers,) = (job["static_configs"] for job in watched if job["job_name"] == "osteo-workers")
    assert {one["labels"]["role"]: one["targets"] for one in workers} == {
        role: [f"127.0.0.1:{port_of(role)}"] for role in ("inference", "delivery", "sweeper")
    }


def test_the_page_lists_the_port_of_every_worker_for_prometheus():
    section = PAGE.split("\n### The parts\n")[1].split("\n### ")[0]
    (block,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    (job,) = yaml.safe_load(block)
    ports = {
        one["labels"]["role"]: [int(target.rpartition(":")[2]) for target in one["targets"]]
        for one in job["static_configs"]
    }
    assert ports == {
        "inference": [port_of("inference", "1"), port_of("inference", "2")],
        **{role: [port_of(role)] for role in ("delivery", "sweeper", "shadow")},
    }


def test_a_shadow_has_what_other_units_leave_of_the_processors():
    assert unit("shadow")["CPUWeight"] == ["1"]
    assert all("CPUWeight" not in unit(role) for role in UNITS if role != "shadow")


def instance(role: str) -> str:
    """The name of a unit that can be started."""
    return UNITS[role].name.replace("@", "@1")


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, which systemd-analyze finds with their programs here."""
    folder = installed(tmp_path_factory.mktemp("units"), {HOME: str(ROOT)})
    for template in folder.glob("*@.service"):
        template.rename(folder / template.name.replace("@", "@1"))
    return folder


@needs_systemd
@every_unit
def test_systemd_finds_no_fault_in_a_unit(role: str, units: Path):
    ran = analyze(units, "verify", instance(role))
    assert (ran.returncode, ran.stderr) == (0, "")


@needs_systemd
@every_unit
def test_a_unit_is_closed_off(role: str, units: Path):
    ran = analyze(units, "security", "--offline=true", f"--threshold={EXPOSURE}", instance(role))
    assert ran.returncode == 0, ran.stdout


def analyze(units: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    # The empty entry at the end stands for systemd's own folders, which have the targets that units name.
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_PAGER": "cat", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["systemd-analyze", *words], cwd=units, env=environment, capture_output=True, text=True
    )
