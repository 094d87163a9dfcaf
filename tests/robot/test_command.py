"""`python -m robot` does not start with an argument or a secret that is wrong, and says which."""

import os
import socket
import subprocess
import sys

import pytest

from stack.part import ROOT
from tests.robot.events import SECRET

RIGHT = {
    "--client": "theatre",
    "--service": "http://127.0.0.1:1",
    "--listen": "127.0.0.1:0",
    "--mqtt": "mqtt://127.0.0.1:1",
}


@pytest.mark.parametrize(
    ("changed", "secret", "words"),
    [
        ({"--client": "a/#"}, SECRET, "--client is the name"),
        ({"--service": "http://osteo.example"}, SECRET, "--service is https://host"),
        ({"--listen": "nowhere:x"}, SECRET, "--listen nowhere:x"),
        ({"--mqtt": "mqtt://user:hidden@127.0.0.1"}, SECRET, "MQTT_PASSWORD"),  # pragma: allowlist secret
        ({"--mqtt": None}, SECRET, "name at least one of --mqtt, --igtl and --ros"),
        ({"--mqtt": "mqtts://127.0.0.1", "--mqtt-ca": "/no/file"}, SECRET, "--mqtt-ca /no/file: "),
        ({"--service-ca": "/no/file"}, SECRET, "--service-ca /no/file: "),
        ({"--igtl": "nowhere"}, SECRET, "--igtl nowhere: HOST:PORT"),
        ({}, "", "OSTEO_WEBHOOK_SECRET"),
        ({}, "hidden!", "OSTEO_WEBHOOK_SECRET"),
    ],
)
def test_a_wrong_argument_is_named_and_ends_the_process(changed: dict, secret: str, words: str):
    is_named(changed, secret, words)


def test_a_port_that_is_taken_is_named_by_its_option():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        is_named({"--igtl": address}, SECRET, f"--igtl {address}: ")
        is_named({"--listen": address}, SECRET, f"--listen {address}: ")


def is_named(changed: dict, secret: str, words: str) -> None:
    options = [part for pair in (RIGHT | changed).items() if pair[1] is not None for part in pair]
    environment = os.environ | {"OSTEO_WEBHOOK_SECRET": secret}
    ran = subprocess.run(
        [sys.executable, "-m", "robot", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 2
    said = ran.stderr.splitlines()[-1]
    assert words in said, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "hidden" not in ran.stderr
