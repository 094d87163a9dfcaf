"""Lists the images of an archive, a folder or an S3 prefix, a few at a time: it may hold millions."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from osteo_client.command.radiographs import Refuse
from osteo_client.kinds import media_type

S3 = "s3://"
_HEADER = 132
"""Bytes that tell the kind of an image."""


@dataclass(frozen=True)
class Entry:
    """One image of an archive."""

    name: str
    """Its path in the folder, or its key in the bucket, for people: what is no UTF-8 is escaped."""
    version: str
    """Another one once its content has changed."""
    at: str
    """What it is read by."""


class Archive(Protocol):
    """Where images are read from."""

    @property
    def identity(self) -> str:
        """What tells this archive from any other."""

    def entries(self, refuse: Refuse) -> Iterator[Entry]:
        """List the images. Memory does not grow with their number. Raises OSError.

        What cannot be read is passed to `refuse`.
        """

    def read(self, entry: Entry) -> bytes:
        """Return the bytes of an image. Raises OSError."""


@dataclass(frozen=True)
class Folder:
    """A folder, and the folders below it. Hidden files and what is no image are left out."""

    root: Path

    @property
    def identity(self) -> str:
        """Return the whole path of the folder."""
        return str(self.root.resolve())

    def entries(self, refuse: Refuse) -> Iterator[Entry]:
        """List the images, in no order: a folder may hold more names than memory should."""
        folders = [str(self.root)]
        while folders:
            try:
                with os.scandir(folders.pop()) as found:
                    for one in found:
                        if one.name.startswith("."):
                            continue
                        if one.is_dir(follow_symlinks=False):
                            folders.append(one.path)
                        elif one.is_file() and (entry := self._entry(Path(one.path), refuse)):
                            yield entry
            except OSError as error:
                refuse(Path(error.filename or self.root), error)

    def read(self, entry: Entry) -> bytes:
        """Read a file."""
        return Path(entry.at).read_bytes()

    def _entry(self, file: Path, refuse: Refuse) -> Entry | None:
        try:
            with file.open("rb") as opened:
                if not media_type(opened.read(_HEADER)):
                    return None
            state = file.stat()
        except OSError as error:
            refuse(file, error)
            return None
        name = os.fsencode(file.relative_to(self.root)).decode(errors="backslashreplace")
        return Entry(name, f"{state.st_size}-{state.st_mtime_ns}", str(file))


@dataclass(frozen=True)
class Bucket:
    """The objects of a bucket below a prefix. What is no image is refused by the service."""

    client: Any
    bucket: str
    prefix: str
    errors: tuple[type[Exception], ...]
    """What the client raises."""

    @property
    def identity(self) -> str:
        """Return the address of the service, with bucket and prefix."""
        return f"{self.client.meta.endpoint_url} {S3}{self.bucket}/{self.prefix}"

    def entries(self, refuse: Refuse) -> Iterator[Entry]:
        """List the objects, a page at a time."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    if found["Size"]:
                        yield Entry(found["Key"], found["ETag"].strip('"'), found["Key"])
        except self.errors as error:
            raise OSError(f"{S3}{self.bucket} cannot be listed: {error}") from error

    def read(self, entry: Entry) -> bytes:
        """Fetch an object, unless it has changed since it was listed."""
        try:
            got = self.client.get_object(Bucket=self.bucket, Key=entry.at, IfMatch=entry.version)
            return bytes(got["Body"].read())
        except self.errors as error:
            raise OSError(f"cannot be read: {error}") from error


def archive_of(source: str) -> Archive:
    """Return the archive at a folder's path or `s3://bucket/prefix`. Raises OSError with what to do."""
    if not source.startswith(S3):
        root = Path(source)
        if not root.is_dir():
            raise OSError(f"{source} is no folder; give a folder or {S3}BUCKET/PREFIX")
        return Folder(root)
    bucket, _, prefix = source.removeprefix(S3).partition("/")
    if not bucket:
        raise OSError(f"{source} names no bucket; give {S3}BUCKET/PREFIX")
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise OSError(
            "reading from S3 needs boto3: install osteo-client with its extra, osteo-client[s3]"
        ) from None
    try:
        config = Config(retries={"mode": "standard"}, s3={"addressing_style": "path"})
        client = boto3.client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise OSError(f"S3 cannot be reached: {error}; set AWS_REGION and AWS_ENDPOINT_URL_S3") from error
    return Bucket(client, bucket, prefix, (ClientError, BotoCoreError))
