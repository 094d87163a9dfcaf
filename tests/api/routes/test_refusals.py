"""Tests that the refusal of a body that was not read reaches each kind of client, also through nginx."""

import http.client
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Api, serving
from tests.api.server.test_server import all_of, connect, request
from tests.proxies import deployed_nginx, needs_nginx

PEERS = Path(__file__).parents[2] / "peers"
TIMES = 10
MOST = 32 * 2**20
SIZE = 8_000_000
"""Bytes that exceed all buffers between client and server, so that the client blocks until they are read."""


@pytest.fixture(scope="module")
def direct(servers, tmp_path_factory):
    with serving(servers, tmp_path_factory.mktemp("refusing"), max_study_bytes=MOST) as (api, _):
        yield api


@pytest.fixture(scope="module")
def behind(direct: Api, tmp_path_factory):
    with deployed_nginx(direct.url, tmp_path_factory.mktemp("nginx")) as url:
        yield url


def by_python(url: str, size: int, key: str, _: Path) -> list[str]:
    address, said = urlsplit(url), []
    for _ in range(TIMES):
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
        try:
            connection.request("POST", address.path, bytes(size), {"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            said.append(str(answer.status))
        except OSError as error:
            said.append(repr(error))
        finally:
            connection.close()
    return said


def by_curl(url: str, size: int, key: str, folder: Path) -> list[str]:
    (folder / "body").write_bytes(bytes(size))
    command = ["curl", "-sS", "-w", "%{http_code}\\n", "-H", "Expect:", "--data-binary"]
    command += [f"@{folder}/body", "-H", f"Authorization: Bearer {key}", *["-o", "/dev/null", url] * TIMES]
    return output_of(command)


def by_node(url: str, size: int, key: str, _: Path) -> list[str]:
    return output_of(["node", PEERS / "submit.mjs", url, size, key, TIMES])


def by_go(url: str, size: int, key: str, _: Path) -> list[str]:
    return output_of(["go", "run", PEERS / "submit.go", url, size, key, TIMES])


def output_of(command: list[object]) -> list[str]:
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} WAS NOT TRIED: it is missing. CI installs it (.ci/run)")
    said = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()


CLIENTS = [by_python, by_curl, by_node, by_go]


@pytest.mark.parametrize("status", ["401", "413"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_is_refused_while_it_sends_reads_the_refusal(
    direct: Api, client: Callable[..., list[str]], status: str, tmp_path: Path
):
    key = "wrong" if status == "401" else direct.key
    assert set(client(f"{direct.url}/v1/jobs", SIZE, key, tmp_path)) == {status}


@needs_nginx
@pytest.mark.parametrize("status", ["401", "413"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_refusal_comes_through_nginx(
    direct: Api, behind: str, client: Callable[..., list[str]], status: str, tmp_path: Path
):
    key = "wrong" if status == "401" else direct.key
    assert set(client(f"{behind}/v1/jobs", SIZE, key, tmp_path)) == {status}


@pytest.mark.parametrize("path", ["/nowhere", "/v1/model", "/v1/jobs/unknown/cancel"])
def test_a_body_that_no_route_reads_is_skipped(direct: Api, path: str, tmp_path: Path):
    (status,) = set(by_python(direct.url + path, SIZE, direct.key, tmp_path))
    assert status in {"404", "405"}


def test_a_refused_body_in_chunks_is_skipped_to_its_end(direct: Api):
    chunks = b"%x\r\n%b\r\n" % (1_000_000, bytes(1_000_000)) * 8
    sent = request("POST", "/v1/jobs", "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")
    assert all_of(connect(direct, sent)).startswith(b"HTTP/1.1 401")


def test_a_refused_body_is_skipped_up_to_the_largest_size_only(direct: Api):
    sock = connect(direct, request("POST", "/v1/jobs", f"Content-Length: {100 * MOST}"))
    with sock, pytest.raises((BrokenPipeError, ConnectionResetError)):
        sock.sendall(bytes(3 * MOST))
