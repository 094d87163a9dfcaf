"""Keeps uploads: images that clients put into the object store themselves, and submit by their ids."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.record.errors import NotStored
from jobs.record.ids import is_id, new_id
from jobs.record.job import now
from jobs.store.due_index import DueIndex
from jobs.store.objects import Objects

GRACE = timedelta(hours=1)
"""Time after its address has expired for which an upload that was begun may still run."""


@dataclass(frozen=True)
class Upload:
    """The address at which one image may be put until `expires_at`, by a PUT with these headers."""

    id: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class Order:
    """What a client has announced to upload."""

    size: int
    content_type: str


@dataclass(frozen=True)
class Uploads:
    """The uploads, at `uploads/<client>/<upload id>`. Every method may raise StoreUnavailable.

    The order is at `orders/<client>/<upload id>`, because not every store enforces it for an upload.
    `signer` is the same bucket at the address under which clients reach it. It is never called from here.
    """

    objects: Objects
    due: DueIndex
    signer: Objects
    lifetime: timedelta

    def open(self, client: str, size: int, content_type: str) -> Upload:
        """Allow this client to put one image of `size` bytes. It is erased unless it is submitted in time."""
        upload_id, expires_at = new_id("upload"), now() + self.lifetime
        self.due.put(f"{upload_id}.{client}", expires_at + GRACE)
        order = {"size": size, "content_type": content_type}
        self.objects.put(_order(client, upload_id), json.dumps(order).encode())
        seconds = int(self.lifetime.total_seconds())
        url = self.signer.address_to_put(_key(client, upload_id), size, content_type, seconds)
        return Upload(upload_id, url, {"Content-Type": content_type, "Content-Length": str(size)}, expires_at)

    def order(self, client: str, upload_id: str) -> Order:
        """Return the order of an upload. Raises NotStored where there is none, or it was submitted."""
        if not is_id("upload", upload_id):
            raise NotStored(upload_id)
        return Order(**json.loads(self.objects.get(_order(client, upload_id))))

    def size(self, client: str, upload_id: str) -> int | None:
        """Return how many bytes have been uploaded; None where this client has no such upload (any more)."""
        return self.objects.size(_key(client, upload_id)) if is_id("upload", upload_id) else None

    def read(self, client: str, upload_id: str) -> bytes:
        """Return the uploaded bytes. Raises NotStored."""
        if not is_id("upload", upload_id):
            raise NotStored(upload_id)
        return self.objects.get(_key(client, upload_id))

    def delete(self, client: str, upload_id: str) -> None:
        """Erase an upload and its order. One that is not there is no error."""
        for key in upload_keys(client, upload_id):
            self.objects.delete(key)


def upload_due(name: str) -> tuple[str, ...]:
    """Return the keys of the upload that an entry of the due index names; none where it names no upload."""
    upload_id, _, client = name.partition(".")
    return upload_keys(client, upload_id) if client and is_id("upload", upload_id) else ()


def upload_keys(client: str, upload_id: str) -> tuple[str, ...]:
    """Return the keys of an upload: those of its image and of its order."""
    return _key(client, upload_id), _order(client, upload_id)


def _order(client: str, upload_id: str) -> str:
    return f"orders/{client}/{upload_id}"


def _key(client: str, upload_id: str) -> str:
    return f"uploads/{client}/{upload_id}"
