"""Runs the whole service of one machine in the foreground: `python -m stack up`."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.addresses import Addresses
from stack.development import EXAMPLE, make_bucket, prepare
from stack.errors import GaveUp, StopRequested
from stack.folder import Folder, Secrets
from stack.part import Command, Part
from stack.parts import (
    FLOWER_USER,
    STOP_ORDER,
    for_commands,
    inference,
    metrics_of,
    others,
    service_environment,
    stores,
    web,
)
from stack.say import say
from stack.supervisor import Supervisor

STORES = ("redis", "s3")


def up(environment: Mapping[str, str]) -> int:
    """Run the stack that `environment` describes; return the exit status. Raises StartRefused."""
    addresses = Addresses.from_environment(environment)
    folder = Folder(Path(environment.get("OSTEO_VAR") or "var"))
    secrets = folder.secrets(environment.get("OSTEO_SIGNING_KEY"))
    try:
        with Supervisor(STOP_ORDER) as supervisor:
            try:
                _run(supervisor, environment, addresses, folder, secrets)
            finally:
                folder.withdraw_ready()
    except StopRequested as request:
        say(f"stopped, on {request}")
        return 0
    except GaveUp as reason:
        say(f"the stack has stopped: {reason}")
        return 1
    return 0


def _run(
    supervisor: Supervisor,
    environment: Mapping[str, str],
    addresses: Addresses,
    folder: Folder,
    secrets: Secrets,
) -> None:
    service = service_environment(environment, addresses, secrets, folder.path)
    first = _parts(stores(environment, addresses, secrets, folder), folder)
    supervisor.begin(first)
    supervisor.settle(first)
    folder.publish_settings(for_commands(service))
    if addresses.s3_url is None:
        make_bucket(service)
    # The worker takes longest; it loads the model while the others start.
    worker, api = _parts([inference(service), web(service, addresses)], folder)
    supervisor.begin([worker, api])
    supervisor.settle([api])
    rest = _parts(others(service, addresses, folder.path), folder)
    supervisor.begin(rest)
    supervisor.settle([worker, api, *rest])
    secrets = prepare(secrets, folder, addresses, service)

    def publish() -> None:
        folder.publish_ready(
            {
                "api": addresses.api,
                "flower": addresses.flower,
                "flower_user": FLOWER_USER,
                "flower_password": secrets.flower_password,
                "s3": addresses.s3,
                "metrics": metrics_of(service),
                "redis": service["REDIS_URL"],
                "api_key": secrets.api_key,
                "reading_room": f"{addresses.api}/read",
                "reader_key": secrets.reader_key,
                "totp_secret": secrets.totp_secret,
                "pids": {**dict.fromkeys(STORES), **supervisor.pids},
            }
        )

    publish()
    print(_welcome(addresses, secrets, folder), flush=True)
    supervisor.watch(publish)


def _parts(commands: Sequence[Command], folder: Folder) -> list[Part]:
    return [Part(command, folder.fresh_log(command.name), folder.lock) for command in commands]


def _welcome(addresses: Addresses, secrets: Secrets, folder: Folder) -> str:
    key = f"curl -sS -H 'Authorization: Bearer {secrets.api_key}'"
    return f"""\
ready
  API      {addresses.api} (its description: {addresses.api}/openapi.json)
  Flower   {addresses.flower}
  S3       {addresses.s3}

  development API key   {secrets.api_key}
  its webhook secret    {secrets.webhook_secret}
  Flower's password     {secrets.flower_password} (user {FLOWER_USER})

Look at radiographs, and report on them: {addresses.api}/read
  development reader key        {secrets.reader_key}
  secret of its one-time codes  {secrets.totp_secret} (for an authenticator app; a code confirms a signature)

Submit the example X-ray from another terminal:
  {key} -F image=@{shlex.quote(str(EXAMPLE))} {addresses.api}/v1/jobs
and read the job, with the id out of that answer:
  {key} {addresses.api}/v1/jobs/ID
Ctrl-C stops everything; the data stay in {folder.path}.
"""
