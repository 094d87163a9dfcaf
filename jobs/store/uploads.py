"""Uploads: images that clients put straight into the object store, past the API, and submit by their ids."""

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
"""For so long, after its address has expired, an upload that was begun may still be on its way."""


@dataclass(frozen=True)
class Upload:
    """Where one image may be put until `expires_at`, by a PUT that has these headers."""

    id: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True)
class Order:
    """What a client said that it would upload."""

    size: int
    content_type: str


@dataclass(frozen=True)
class Uploads:
    """The uploads, at `uploads/<client>/<upload id>`. Every method may raise StoreUnavailable.

    What was ordered lies at `orders/<client>/<upload id>`: not every store holds an upload to it.

    `signer` is the same bucket, at the address under which clients reach it; it is never called from here.
    """

    objects: Objects
    due: DueIndex
    signer: Objects
    lifetime: timedelta

    def open(self, client: str, size: int, content_type: str) -> Upload:
        """Let this client put one image of `size` bytes; what becomes of no job is due to be erased."""
        upload_id, expires_at = new_id("upload"), now() + self.lifetime
        self.due.put(f"{upload_id}.{client}", expires_at + GRACE)
        order = {"size": size, "content_type": content_type}
        self.objects.put(_order(client, upload_id), json.dumps(order).encode())
        seconds = int(self.lifetime.total_seconds())
        url = self.signer.address_to_put(_place(client, upload_id), size, content_type, seconds)
        return Upload(upload_id, url, {"Content-Type": content_type, "Content-Length": str(size)}, expires_at)

    def order(self, client: str, upload_id: str) -> Order:
        """What was ordered under this id. Raises NotStored where nothing was, or it was submitted."""
        if not is_id("upload", upload_id):
            raise NotStored(upload_id)
        return Order(**json.loads(self.objects.get(_order(client, upload_id))))

    def size(self, client: str, upload_id: str) -> int | None:
        """How many bytes have been uploaded; None where there is no such upload of this client (any more)."""
        return self.objects.size(_place(client, upload_id)) if is_id("upload", upload_id) else None

    def read(self, client: str, upload_id: str) -> bytes:
        """What was uploaded. Raises NotStored."""
        if not is_id("upload", upload_id):
            raise NotStored(upload_id)
        return self.objects.get(_place(client, upload_id))

    def delete(self, client: str, upload_id: str) -> None:
        """Erase it and its order; none there is no error."""
        for key in _keys(client, upload_id):
            self.objects.delete(key)


def upload_due(name: str) -> tuple[str, ...]:
    """The keys of the upload that an entry of the index of due looks is of; none where it is of another."""
    upload_id, _, client = name.partition(".")
    return _keys(client, upload_id) if client and is_id("upload", upload_id) else ()


def _keys(client: str, upload_id: str) -> tuple[str, ...]:
    return _place(client, upload_id), _order(client, upload_id)


def _order(client: str, upload_id: str) -> str:
    return f"orders/{client}/{upload_id}"


def _place(client: str, upload_id: str) -> str:
    return f"uploads/{client}/{upload_id}"
