"""Exports signed readings to a folder for `training.collect`: `python -m admin.export_readings FOLDER`.

Only jobs whose client allows it (`training_use`), without any name or id. Run it again to take out what was
deleted since.
"""

import argparse
import hashlib
import hmac
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from admin.command import print_lines, settings_of_command
from admin.export_folder import ExportFolder, OtherFolder, Row, write_image
from admin.reading_label import Label, NoLabel, label_of
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored, TransientError
from jobs.record.job import Job
from jobs.record.states import State
from jobs.settings import Settings, SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import image_key
from jobs.store.stores import Stores
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds
from model.errors import ImageError, NoDecoder

_FRONTAL, _LATERAL, _OBLIQUE = ("AP", "PA"), ("LL", "RL"), ("RLO", "LLO")


class Pseudonyms:
    """Names that lead back to nothing without the signing key of the service, and stay the same with it."""

    def __init__(self, signing_key: str) -> None:
        self._key = hmac.digest(signing_key.encode(), b"export of readings", hashlib.sha256)

    def of(self, *what: str) -> str:
        """Return the name of something, 32 hexadecimal digits."""
        return hmac.digest(self._key, json.dumps(what).encode(), hashlib.sha256).hex()[:32]


@dataclass
class Export:
    """One export of the readings of some clients, or of all."""

    ledger: Ledger
    decoders: Decoders
    folder: ExportFolder
    names: Pseudonyms
    clients: frozenset[str]
    exported: set[str] = field(default_factory=set)
    """The clients whose readings were exported."""
    left_out: Counter[str] = field(default_factory=Counter)
    _why_gone: dict[str, str] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Write what is allowed, take out the rest, and return the counts."""
        self.folder.open()
        labelled = list(self._labelled())
        groups = self._groups([job for job, _ in labelled])
        rows = sorted(
            (row for job, label in labelled if (row := self._row(job, label, groups[job.id]))),
            key=lambda row: str(row["image"]),
        )
        licences = sorted({str(row["licence"]) for row in rows})
        counts = {
            "exported": len(rows),
            "left_out": dict(sorted(self.left_out.items())),
            "licences": licences,
        }
        revoked = self.folder.close(rows, self._why_gone, counts)
        return {**counts, "revoked": revoked}

    def _labelled(self) -> Iterator[tuple[Job, Label]]:
        readings = Readings(self.ledger)
        for job_id in readings.index.job_ids():
            try:
                job = self.ledger.read(job_id)
                if job.state is State.ERASED or (self.clients and job.client not in self.clients):
                    continue
                if job.training_use != "allowed":
                    raise NoLabel("not allowed")
                yield job, label_of(readings.of_job(job_id))
            except NotStored:
                continue
            except NoLabel as why:
                self._leave_out(job_id, str(why))

    def _row(self, job: Job, label: Label, group: str) -> Row | None:
        name = f"{self.names.of('job', job.id)}.png"
        path = self.folder.image(name, group)
        try:
            if path.exists():
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                data = self.ledger.objects.get(image_key(job))
                sha256 = write_image(path, _png(self.decoders, data, job.client))
        except NotStored:  # The job was deleted meanwhile.
            return None
        except ImageError as error:
            self._leave_out(job.id, f"not decoded: {type(error).__name__}")
            return None
        self.exported.add(job.client)
        return {"image": name, "sha256": sha256, "group": group, **_described(job, label, self.names)}

    def _groups(self, jobs: list[Job]) -> dict[str, str]:
        """Name the group of each job: views of a study, and jobs of one reference, may show one patient."""
        group_of = {job.id: self.names.of("job", job.id) for job in jobs}
        ties: dict[tuple[str, ...], list[str]] = {}
        for job in jobs:
            if job.study:
                ties.setdefault(("study", job.study), []).append(job.id)
            if job.reference:
                ties.setdefault(("reference", job.client, job.reference), []).append(job.id)
        for tie, tied in sorted(ties.items()):
            if len(tied) > 1:
                joined = {group_of[job_id] for job_id in tied}
                name = self.names.of(*tie)
                group_of |= {job_id: name for job_id, group in group_of.items() if group in joined}
        return group_of

    def _leave_out(self, job_id: str, why: str) -> None:
        self.left_out[why] += 1
        self._why_gone[f"{self.names.of('job', job_id)}.png"] = why


def main() -> int:
    """Run the command. Return 2 for a wrong setting or folder."""
    parser = argparse.ArgumentParser(prog="python -m admin.export_readings", description=__doc__)
    parser.add_argument("folder", type=Path, help="that of earlier exports, or a new one")
    parser.add_argument("--client", action="append", default=[], help="whose jobs; all, unless given")
    arguments = parser.parse_args()
    try:
        settings = settings_of_command(signs=True)
        with closing(Stores.connect(settings)) as stores:
            stores.check()
            print_lines([export_readings(arguments.folder, frozenset(arguments.client), settings, stores)])
    except (SettingsError, OtherFolder, TransientError, NoDecoder, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def export_readings(
    path: Path, clients: frozenset[str], settings: Settings, stores: Stores
) -> dict[str, Any]:
    """Export the readings of these clients, or of all, to the folder at `path`, and return the counts.

    Raises OtherFolder, StoreUnavailable, NoDecoder, and OSError for the folder.
    """
    names = Pseudonyms(settings.signing_key)
    folder = ExportFolder(path, {"key": names.of("key"), "clients": sorted(clients)})
    bounds = Bounds(
        settings.max_pixels,
        settings.decode_cpu_seconds,
        settings.decode_seconds,
        settings.decode_megabytes,
    )
    with closing(Decoders(bounds, processes=1)) as decoders:
        export = Export(stores.ledger, decoders, folder, names, clients)
        counts = export.run()
    for client in sorted(export.exported):
        stores.audit.record_durably(AuditEntry(client, "exportReadings"))
    return counts


def _png(decoders: Decoders, data: bytes, client: str) -> bytes:
    """Return the gray pixels of a submitted file as a PNG, without anything else that the file had."""
    file = io.BytesIO()
    Image.fromarray(decoders.decode(data, client).pixels).save(file, "PNG")
    return file.getvalue()


def _described(job: Job, label: Label, names: Pseudonyms) -> Row:
    first, result, taken = label.first, job.result or {}, job.acquisition or {}
    sites, committed = label.report["sites"], first.committed or {}
    view, differs = taken.get("view"), first.disagreement or {}
    return {
        "fractured": int(label.fractured),
        "region": taken.get("body_part", {}).get("term", "unknown").lower(),
        "frontal": int(view in _FRONTAL),
        "lateral": int(view in _LATERAL),
        "oblique": int(view in _OBLIQUE),
        "licence": f"signed readings of {job.client}, consent of the client",
        "boxes": json.dumps([site["box"] for site in sites if "box" in site]),
        "points": json.dumps([site["point"] for site in sites if "point" in site]),
        "blind": int(bool(committed.get("blind"))),
        "first_finding": committed.get("finding"),
        "arbitrated": int(label.last is not first),
        "reader": names.of("reader", str(label.last.reader)),
        "seconds": label.seconds,
        "model": result.get("model", {}).get("sha256"),
        "model_finding": result.get("finding"),
        "model_probability": result.get("probability"),
        "disagreement": differs.get("kind"),
        "grade": differs.get("grade"),
    }


if __name__ == "__main__":
    sys.exit(main())
