"""Debian's own example of an OpenIGTLink client, in C++, reads what the server sends: checksums and all."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from robot.igtl.transport import IgtlTransport
from tests.robot.shown import event

SOURCE = Path("/usr/share/doc/openigtlink-examples/examples/Receiver/ReceiveClient.cxx")
HEADERS = Path("/usr/include/openigtlink")
COMPILER = shutil.which("g++")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled."""
    if not (COMPILER and SOURCE.exists() and HEADERS.exists()):
        pytest.skip("this needs g++ and Debian's libopenigtlink-dev and openigtlink-examples")
    made = tmp_path_factory.mktemp("igtl") / "client"
    libraries = ("-lOpenIGTLink", "-pthread")
    command = [COMPILER, "-w", f"-I{HEADERS}", str(SOURCE), *libraries, "-o", str(made)]
    subprocess.run(command, check=True)
    return made


def test_the_cxx_client_unpacks_every_message_of_the_server(client: Path):
    transport, made = IgtlTransport("0"), event(acquired_at="2026-11-23T11:59:40.123456789Z")
    transport.publish(made, 60)
    command, pipe = [client, "127.0.0.1", str(transport.port)], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT) as running:
        assert running.stdout
        said = ""
        while "Receiving STATUS" not in said:  # the last of the messages that a late client gets
            said += running.stdout.readline().decode()
        transport.close()
        said += running.stdout.read().decode()
    stamps = [int(stamp.replace(".", "")) for stamp in re.findall(r"Time stamp: ([\d.]+)", said)[:2]]
    # This client adds up the bits of a fraction in whole nanoseconds, and so loses some.
    assert stamps == [pytest.approx(made.acquired_ns, abs=32)] * 2
    assert "0, 0, 1, 1050" in said
    assert made.raw.decode() in said
    assert said.count("Code      : 13") == 1
    assert said.count("Code      : 15") == 1
