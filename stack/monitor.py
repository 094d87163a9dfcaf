"""`python -m stack monitor`: Debian's Prometheus and Alertmanager beside a running stack, until Ctrl-C."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stack import answers
from stack.addresses import HOST, port_of
from stack.errors import GaveUp, StartRefused, StopRequested
from stack.folder import Folder
from stack.part import ROOT, Command, Part
from stack.parts import SECRETS
from stack.say import say
from stack.supervisor import Supervisor

CONFIGURATION = ROOT / "deploy/monitoring"
STOP_ORDER = (("prometheus",), ("alertmanager",))

_FILES = ("prometheus.yml", "alertmanager.yml", "rules/osteo.yml")
_API, _ALERTMANAGER, _ALERTS = "127.0.0.1:8000", "127.0.0.1:9093", "http://127.0.0.1:9095"
_WORKERS = {"inference": "127.0.0.1:8111", "delivery": "127.0.0.1:8102", "sweeper": "127.0.0.1:8103"}
"""The addresses in these files that a stack's own take the place of."""


def monitor(environment: Mapping[str, str]) -> int:
    """Watch the stack in OSTEO_VAR until a signal stops this, and return the exit status.

    Raises StartRefused where no stack runs there, a program is missing or a port is taken.
    """
    var = Path(environment.get("OSTEO_VAR") or "var").resolve()
    watched = watched_by(_ready(var))
    ports = (
        port_of(environment, "PROMETHEUS_PORT", 9090),
        port_of(environment, "ALERTMANAGER_PORT", 9093),
    )
    commands = watchers(environment, var / "monitor", *ports)
    folder = Folder(var / "monitor", data=("prometheus", "alertmanager"))
    alerts = environment.get("ALERTS_URL", "").strip().rstrip("/") or _ALERTS
    configure(folder.path, {**watched, _ALERTMANAGER: f"{HOST}:{ports[1]}", _ALERTS: alerts})
    parts = [Part(command, folder.fresh_log(command.name), folder.lock) for command in commands]
    try:
        with Supervisor(STOP_ORDER) as supervisor:
            supervisor.begin(parts)
            supervisor.settle(parts)
            print(_welcome(watched, alerts, ports, folder), flush=True)
            supervisor.watch(lambda: None)
    except StopRequested as request:
        say(f"stopped, on {request}")
        return 0
    except GaveUp as reason:
        say(f"the monitor has stopped: {reason}")
        return 1
    return 0


def configure(folder: Path, substitutions: Mapping[str, str]) -> None:
    """Copy the configuration into `folder` with each text of `substitutions` replaced by its value."""
    sought = re.compile("|".join(map(re.escape, substitutions)))
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        text = (CONFIGURATION / name).read_text()
        (folder / name).write_text(sought.sub(lambda found: substitutions[found[0]], text))


def watchers(
    environment: Mapping[str, str], folder: Path, prometheus_port: int, alertmanager_port: int
) -> list[Command]:
    """Prometheus and Alertmanager on loopback, with the configuration and the data in `folder`.

    Raises StartRefused where one of them is not installed.
    """
    own = {name: value for name, value in environment.items() if name not in SECRETS}
    return [
        Command(
            "alertmanager",
            (
                _program(environment, "prometheus-alertmanager"),
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={HOST}:{alertmanager_port}",
                "--cluster.listen-address=",  # One alone: no port for others of its kind.
            ),
            own,
            answers.http(f"http://{HOST}:{alertmanager_port}/-/ready"),
        ),
        Command(
            "prometheus",
            (
                _program(environment, "prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={HOST}:{prometheus_port}",
            ),
            own,
            answers.http(f"http://{HOST}:{prometheus_port}/-/ready"),
        ),
    ]


def watched_by(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the addresses in prometheus.yml, each with that of the stack whose ready.json this is."""
    # prometheus.yml has no shadow worker: few stacks have one.
    workers = {_WORKERS[role]: told for role, told in ready["metrics"].items() if role in _WORKERS}
    return {_API: str(ready["api"]).removeprefix("http://"), **workers}


def _ready(var: Path) -> Mapping[str, Any]:
    try:
        ready: Mapping[str, Any] = json.loads((var / "ready.json").read_text())
    except FileNotFoundError as error:
        raise StartRefused(f"no stack of `make up` runs in {var}; start it, or set OSTEO_VAR.") from error
    return ready


def _program(environment: Mapping[str, str], name: str) -> str:
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        raise StartRefused(
            f"there is no {name}. On Debian: apt-get install prometheus prometheus-alertmanager"
        )
    return program


def _welcome(watched: Mapping[str, str], alerts: str, ports: tuple[int, int], folder: Folder) -> str:
    return f"""\
ready
  alerts         http://{HOST}:{ports[0]}/classic/alerts
  figures        http://{HOST}:{ports[0]}/classic/graph
  what was sent  amtool --alertmanager.url=http://{HOST}:{ports[1]} alert
  watched        {", ".join(watched.values())} (/metrics)
  alerts go to   {alerts}/page and {alerts}/ticket (ALERTS_URL)

What to do on an alert stands in docs/operate.md, under its name.
Ctrl-C stops both; the data stay in {folder.path}.
"""
