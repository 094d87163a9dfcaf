"""Debian's nginx before an API, with the configuration that is handed out."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.addresses import free_ports

ROOT = Path(__file__).parents[1]
DEPLOYED = (ROOT / "deploy/nginx.conf").read_text()
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(
    not NGINX, reason="NOTHING WAS TRIED BEHIND NGINX: it is missing. On Debian: apt-get install nginx-light"
)
needs_tls = [
    needs_nginx,
    pytest.mark.skipif(
        not shutil.which("openssl"), reason="NOTHING WAS TRIED BEHIND TLS: openssl is missing"
    ),
]
AS = "user root;" if os.geteuid() == 0 else ""
"""Or the folder for temporary files would be another user's."""

_TEMPORARY = "".join(
    f"{kind}_temp_path /tmp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
AROUND_SITES = (
    "error_log /dev/stderr warn;\npid /tmp/nginx.pid;\nevents {{}}\n"
    f"http {{{{\naccess_log /dev/stderr;\n{_TEMPORARY}{{}}}}}}\n"
)
"""What Debian has around the sites, to be formatted with these; for `nginx`."""


def make_certificate(folder: Path, *hosts: str) -> None:
    """Write certificate.pem, which vouches for itself, and its key.pem. Hosts are names or IPv4 addresses."""
    names = ",".join(f"{'IP' if host[-1].isdigit() else 'DNS'}:{host}" for host in hosts)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=proxy"),
            *("-addext", f"subjectAltName={names}"),
            *("-keyout", folder / "key.pem", "-out", folder / "certificate.pem"),
        ],
        check=True,
        capture_output=True,
    )


@contextmanager
def nginx(configuration: str, folder: Path, changed: dict[str, str]) -> Iterator[str]:
    """nginx with this configuration, in which texts are `changed` and {port} is a free port; its address."""
    (port,) = free_ports(1)
    for old, new in {"/tmp/": f"{folder}/", **changed}.items():
        assert old in configuration, f"not in the configuration: {old}"
        configuration = configuration.replace(old, new.replace("{port}", str(port)))
    (folder / "nginx.conf").write_text(configuration)
    log = folder / "nginx.log"
    command = [NGINX, "-p", folder, "-c", folder / "nginx.conf", "-g", f"daemon off; {AS}"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 180
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def deployed_nginx(upstream: str, folder: Path) -> Iterator[str]:
    """nginx as docker-compose.yml runs it, before the API at `upstream`."""
    changed = {"listen 8080": "listen 127.0.0.1:{port}", "api:8000": upstream.removeprefix("http://")}
    with nginx(DEPLOYED, folder, changed) as url:
        yield url


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
