"""Makes what a developer at this machine starts with: an API key, a reader, and radiographs to submit."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping

import urllib3

from stack.addresses import Addresses
from stack.errors import GaveUp
from stack.folder import Folder, Secrets
from stack.parent import end_with_parent
from stack.part import ROOT

CLIENT = "development"
EXAMPLE = ROOT / "examples" / "IMG0000319.jpg"
"""A real X-ray with a fracture; NOTICE cites its source."""


def make_bucket(service: Mapping[str, str]) -> None:
    """Make the bucket of this stack's own S3 server."""
    _run(service, "admin.bucket")


def with_api_key(
    secrets: Secrets, folder: Folder, addresses: Addresses, service: Mapping[str, str]
) -> Secrets:
    """Return the secrets with an API key that the running API takes: the kept one, or a new one."""
    if secrets.api_key and _is_known(secrets.api_key, addresses):
        return secrets
    made = json.loads(_run(service, "admin.keys", "create", "--client", CLIENT))
    return folder.keep(secrets, api_key=made["api_key"], webhook_secret=made["webhook_secret"])


def with_reader(secrets: Secrets, folder: Folder, service: Mapping[str, str]) -> Secrets:
    """Return the secrets with the key of a development reader, who is still there or is made now.

    A new one reads the jobs of the development client, blind to the model's answer.
    """
    if secrets.reader_key:
        key_id = hashlib.sha256(secrets.reader_key.encode()).hexdigest()[:16]
        known = map(json.loads, _run(service, "admin.readers", "list").splitlines())
        if any(reader["key_id"] == key_id and not reader["disabled_at"] for reader in known):
            return secrets
    of_client = ("--name", "Development reader", "--groups", CLIENT, "--client", CLIENT)
    made = json.loads(_run(service, "admin.readers", "create", *of_client))
    _run(service, "admin.reading_policy", CLIENT, "--groups", CLIENT)
    return folder.keep(secrets, reader_key=made["reader_key"], totp_secret=made["totp_secret"])


def draw_radiograph(folder: Folder, service: Mapping[str, str]) -> None:
    """Draw a radiograph of a broken forearm: `synthetic.png` in `folder`, unless it is there."""
    file = folder.path / "synthetic.png"
    if not file.exists():
        _run(service, "model.synthetic", str(file))


def _is_known(api_key: str, addresses: Addresses) -> bool:
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        answer = urllib3.request(
            "GET", f"{addresses.api}/v1/jobs", headers=headers, timeout=10, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise GaveUp(f"the API does not answer: {error}") from error
    return answer.status != 401


def _run(service: Mapping[str, str], module: str, *arguments: str) -> str:
    done = subprocess.run(
        (sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env=service,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent(),
        check=False,
    )
    if done.returncode:
        raise GaveUp(f"python -m {module} ended with exit status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout
