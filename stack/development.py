"""Makes what a developer at this machine starts with: an API key, a reader, and radiographs to submit."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence

import urllib3

from stack.addresses import Addresses
from stack.errors import GaveUp
from stack.folder import Folder, Secrets
from stack.parent import end_with_parent
from stack.part import ROOT

CLIENT = "development"
EXAMPLE = ROOT / "examples" / "IMG0000319.jpg"
"""A real X-ray with a fracture; NOTICE cites its source."""

_MAKE_KEY = ("admin.keys", "create", "--client", CLIENT)
_OF_READER = ("--name", "Development reader", "--groups", CLIENT, "--client", CLIENT)
_MAKE_READER = ("admin.readers", "create", *_OF_READER)
_LET_READ = ("admin.reading_policy", CLIENT, "--groups", CLIENT)
"""The reader reads the jobs of the development client, blind to the model's answer."""


def make_bucket(service: Mapping[str, str]) -> None:
    """Make the bucket of this stack's own S3 server."""
    _run(service, ("admin.bucket",))


def prepare(secrets: Secrets, folder: Folder, addresses: Addresses, service: Mapping[str, str]) -> Secrets:
    """Return the secrets with an API key and a reader that the running service knows: kept ones, or new ones.

    Draws `synthetic.png` in the folder, a radiograph of a broken forearm, unless it is there.
    """
    file = folder.path / "synthetic.png"
    commands: list[tuple[str, ...]] = [] if file.exists() else [("model.synthetic", str(file))]
    if not (secrets.api_key and _is_known(secrets.api_key, addresses)):
        commands.append(_MAKE_KEY)
    if not (secrets.reader_key and _is_reader(secrets.reader_key, service)):
        commands = [_LET_READ, *commands, _MAKE_READER]
    printed = dict(zip(commands, _run(service, *commands), strict=True)) if commands else {}
    made: dict[str, str] = {}
    for command, names in (
        (_MAKE_KEY, ("api_key", "webhook_secret")),
        (_MAKE_READER, ("reader_key", "totp_secret")),
    ):
        if command in printed:
            document = json.loads(printed[command])
            made |= {name: document[name] for name in names}
    return folder.keep(secrets, **made) if made else secrets


def _is_known(api_key: str, addresses: Addresses) -> bool:
    headers = {"Authorization": f"Bearer {api_key}"}
    try:
        answer = urllib3.request(
            "GET", f"{addresses.api}/v1/jobs", headers=headers, timeout=10, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise GaveUp(f"the API does not answer: {error}") from error
    return answer.status != 401


def _is_reader(reader_key: str, service: Mapping[str, str]) -> bool:
    key_id = hashlib.sha256(reader_key.encode()).hexdigest()[:16]
    (printed,) = _run(service, ("admin.readers", "list"))
    known = map(json.loads, printed.splitlines())
    return any(reader["key_id"] == key_id and not reader["disabled_at"] for reader in known)


def _run(service: Mapping[str, str], *commands: Sequence[str]) -> list[str]:
    """Run each command, a module and its arguments, in one process; return what each has printed."""
    done = subprocess.run(
        (sys.executable, "-m", "stack.commands", json.dumps(commands)),
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
        raise GaveUp(f"a command ended with exit status {done.returncode}:\n{done.stderr.strip()}")
    printed: list[str] = json.loads(done.stdout)
    return printed
