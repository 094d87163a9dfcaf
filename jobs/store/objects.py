"""Reads and writes bytes under keys in one S3 bucket, the object store. Translates its errors by code."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from jobs.record.errors import Conflict, NotStored, StoreRefused, StoreUnavailable
from jobs.s3.object_requests import ObjectRequests
from jobs.version import LAYOUT, VERSION

_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
REFUSED = frozenset(
    {
        "413",
        "414",
        "EntityTooLarge",
        "InvalidArgument",
        "InvalidObjectName",
        "InvalidRequest",
        "KeyTooLongError",
        "MaxMessageLengthExceeded",
        "MetadataTooLarge",
    }
)
"""Codes of a server for a request that is wrong in itself, and statuses of a proxy before it."""
_NO_BUCKET = "the bucket does not exist: correct S3_BUCKET, or make it with `python -m admin.bucket`"
_NO_CREDENTIALS = (
    "there are no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
WRITE_SECONDS = 60.0
"""Seconds for which a bucket that was written counts as writable."""
_ALREADY_THERE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
LAYOUT_MARK = "layout"
"""The key of the object that names the layout of all others (jobs/store/compatibility.py)."""


PIECE = 1024 * 1024
"""Bytes of an object that are read at a time by `Objects.pieces`."""

READ_SECONDS = 5
"""Seconds without a byte of an answer, and without an acknowledgement of a request, that end an attempt."""


class Objects:
    """One bucket of an S3 server. Safe for use by several threads.

    Every method raises StoreUnavailable where the server does not answer, fails or denies access: access
    denied is never 'not found'. Raises StoreRefused where the server would refuse the same request again.
    """

    def __init__(self, client: Any, credentials: Any, bucket: str) -> None:
        """`client`: of boto3. `credentials`: those of its session, or None."""
        self._client = client
        self._requests = ObjectRequests(client, credentials, bucket)
        self._bucket = bucket
        self._conditions: bool | None = None
        self._writable_until = 0.0

    @classmethod
    def connect(cls, endpoint_url: str | None, bucket: str) -> "Objects":
        """Return the bucket at `endpoint_url` (None: AWS). Credentials come from boto3's own variables."""
        config = Config(
            connect_timeout=2,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=32,
            # Our parameters are well-formed, and a long user agent takes a seventh of the time of a request.
            parameter_validation=False,
            user_agent="osteo-synergy",
            # Without this option presigned URLs are signed by version 2.
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            # Servers that are not AWS do not all read the newer trailing checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        session = boto3.Session()
        client = session.client("s3", endpoint_url=endpoint_url, config=config)
        # Else the kernel goes on sending a write that was given up, and it would arrive when a network
        # is mended, long after the end of its lock. botocore has no setting for socket options.
        forget = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, READ_SECONDS * 1000)
        client._endpoint.http_session._socket_options.append(forget)
        return cls(client, session.get_credentials(), bucket)

    def make_bucket(self) -> None:
        """Create the bucket, with the mark of this layout in it, unless it exists."""
        with _translated(f"bucket {self._bucket}"):
            try:
                self._client.head_bucket(Bucket=self._bucket)
                return
            except ClientError as error:
                if _code(error) not in _ABSENT | {"NoSuchBucket"}:
                    raise
                self._client.create_bucket(Bucket=self._bucket)
        self.put(LAYOUT_MARK, layout_mark(), "application/json")

    def close(self) -> None:
        """Close the connections to the object store."""
        self._client.close()

    def check(self) -> None:
        """Return if the bucket can be listed, and if the last write to it succeeded.

        A write is tried after WRITE_SECONDS without one, and after any write that failed.
        """
        with _translated(f"bucket {self._bucket}"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix="pending/", MaxKeys=1)
        self._check_write()

    def takes_writes(self) -> bool:
        """Return whether the last write succeeded; `check` says when one is tried."""
        try:
            self._check_write()
        except (StoreUnavailable, StoreRefused):
            return False
        return True

    def _check_write(self) -> None:
        if time.monotonic() >= self._writable_until:
            # Only a write shows that the disk is full, or that the credentials may only read.
            self.put("check", b"")
            self._writable_until = time.monotonic() + WRITE_SECONDS

    def date(self) -> datetime:
        """Return the time by the server's clock, to the second, from the Date of an answer."""
        with _translated(f"bucket {self._bucket}"):
            # Every role has the right to list.
            answer = self._client.list_objects_v2(Bucket=self._bucket, Prefix="pending/", MaxKeys=1)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Store `body` under `key`."""
        with self._writing(key):
            self._requests.send("PUT", key, body, content_type=content_type)

    def put_new(self, key: str, body: bytes) -> None:
        """Store JSON `body` under `key` unless the key exists. Raises Conflict where it does.

        The server decides this if it supports `If-None-Match`, as AWS does; rclone ignores the header.
        """
        with self._writing(key):
            try:
                self._requests.send("PUT", key, body, content_type="application/json", if_none_match="*")
            except ClientError as error:
                if _code(error) in _ALREADY_THERE:
                    raise Conflict(key) from error
                raise

    def keeps_conditions(self) -> bool:
        """Return whether the server supports `If-None-Match`. It is tried once."""
        if self._conditions is None:
            try:
                for _ in range(2):
                    self.put_new("check-conditions", b"")
                self._conditions = False
            except Conflict:
                self._conditions = True
        return self._conditions

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            with _translated(key):
                yield
        except StoreUnavailable:
            self._writable_until = 0.0
            raise

    def address_to_put(self, key: str, size: int, content_type: str, seconds: int) -> str:
        """Return a URL that allows, for so many seconds, one to put `size` bytes of this type under `key`.

        Size and type are signed as headers: the server refuses a PUT with others. No request is sent.
        """
        with _translated(key):
            parameters = {
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                "ContentLength": size,
            }
            url: str = self._client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)
            return url

    def get(self, key: str) -> bytes:
        """Return the bytes under `key`. Raises NotStored."""
        with _translated(key):
            return self._requests.send("GET", key)

    def pieces(self, key: str, size: int) -> Iterator[bytes]:
        """Return the `size` bytes under `key` in pieces, each read when it is needed. Raises NotStored.

        A slow reader therefore keeps no connection to the server, and one piece at most in memory.
        """
        for start in range(0, size, PIECE):
            span = f"bytes={start}-{min(start + PIECE, size) - 1}"
            with _translated(key):
                piece = self._requests.send("GET", key, range=span)
            yield piece

    def exists(self, key: str) -> bool:
        """Return whether there is an object under `key`."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Return how many bytes are under `key`; None where there is no object."""
        try:
            with _translated(key):
                return int(self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
        except NotStored:
            return None

    def delete(self, key: str) -> None:
        """Remove the object under `key`. A missing object is no error."""
        try:
            with _translated(key):
                self._requests.send("DELETE", key)
        except NotStored:
            pass

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """Return the keys that start with `prefix`, in byte order, those after the key `after` only.

        A folder as `after` ends with "/": without it SeaweedFS leaves out all keys in the folder.
        SeaweedFS sorts "a/b" before "a-b": no caller may depend on the order of such keys.
        """
        with _translated(prefix):
            yield from self._requests.keys(prefix, after)


def layout_mark() -> bytes:
    """Return the mark of a bucket whose data have this version's layout."""
    return json.dumps({"layout": LAYOUT, "version": VERSION}).encode()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in _ABSENT:
            raise NotStored(what) from error
        if _code(error) == "NoSuchBucket":
            raise StoreUnavailable(_NO_BUCKET) from error
        if _code(error) in REFUSED:
            raise StoreRefused(f"the object store answered {_code(error)} for {what}") from error
        raise StoreUnavailable(f"the object store answered {_code(error)} for {what}") from error
    except NoCredentialsError as error:
        raise StoreUnavailable(_NO_CREDENTIALS) from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"the object store does not answer: {type(error).__name__}") from error
