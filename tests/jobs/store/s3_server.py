"""Starts the S3 server of a test run: rclone's, as `make up` does, or SeaweedFS (`TEST_S3=seaweedfs`)."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from stack import answers, parts
from stack.addresses import HOST, Addresses, free_ports
from stack.folder import Folder, Secrets
from stack.part import Command

SETTING = "TEST_S3"
WEED = shutil.which("weed", path=str(Path(sys.executable).parent))
"""SeaweedFS' program. No wheel of it exists for s390x."""
ROLES = ("master", "volume", "filer", "s3")


def stores(
    environment: Mapping[str, str], addresses: Addresses, secrets: Secrets, folder: Folder
) -> list[Command]:
    """List Redis and the S3 server of this test run."""
    commands = parts.stores(environment, addresses, secrets, folder)
    server = environment.get(SETTING, "rclone")
    assert server in ("rclone", "seaweedfs"), f"{SETTING} is rclone or seaweedfs"
    if server == "rclone":
        return commands
    key = {"accessKey": secrets.s3_access_key, "secretKey": secrets.s3_secret_key}
    accounts = json.dumps({"identities": [{"name": "test", "credentials": [key], "actions": ["Admin"]}]})
    own = seaweedfs(folder, addresses.s3_port, accounts)
    return [own if command.name == "s3" else command for command in commands]


def seaweedfs(folder: Folder, port: int, accounts: str) -> Command:
    """Make the command of a SeaweedFS with these accounts, which keeps its data in `folder`."""
    assert WEED, "there is no SeaweedFS: requirements.lock has it for x86_64 and aarch64"
    words = [f"-dir={folder.path / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3"]
    words += [f"-s3.config={folder.private('s3.json', accounts)}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    # Every bucket, and so every test, takes a volume of its own.
    words += ["-volume.max=10000", "-master.volumeSizeLimitMB=32", "-master.telemetry=false"]
    others = free_ports(2 * len(ROLES) - 1, avoiding=(port,))
    names = [*(f"{role}.port.grpc" for role in ROLES), *(f"{role}.port" for role in ROLES)]
    words += [f"-{name}={number}" for name, number in zip(names, [*others, port], strict=True)]
    environment = {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    ready = answers.http(f"http://{HOST}:{port}/healthz")
    return Command("s3", (WEED, "-logtostderr=true", "server", *words), environment, ready)
