"""Exports signed readings to a folder for `training.collect`: `python -m admin.export_readings FOLDER`.

Only jobs whose client allows it (`training_use`), without any name or id. Run it again to take out what was
deleted or revoked since.
"""

import argparse
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from admin.command import print_lines, settings_of_command
from admin.export_folder import ExportFolder, OtherFolder, Row, write_image
from admin.export_names import Pseudonyms, groups_of
from admin.reading_label import Label, NoLabel, label_of
from jobs.reading.policy import Policies
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored, TransientError
from jobs.record.job import Job
from jobs.record.states import State
from jobs.settings import Settings, SettingsError
from jobs.store.audit import AuditEntry
from jobs.store.consents import Consents
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import image_key
from jobs.store.stores import Stores
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds
from model.errors import ImageError, NoDecoder

_TRUSTED_SECONDS = 60.0
"""Time for which a client's policy is not read anew."""
_FRONTAL, _LATERAL, _OBLIQUE = ("AP", "PA"), ("LL", "RL"), ("RLO", "LLO")


@dataclass
class Export:
    """One export of the readings of some clients, or of all."""

    ledger: Ledger
    policies: Policies
    consents: Consents
    decoders: Decoders
    folder: ExportFolder
    names: Pseudonyms
    clients: frozenset[str]
    exported: set[str] = field(default_factory=set)
    """The clients whose readings were exported."""
    left_out: Counter[str] = field(default_factory=Counter)
    _patients: dict[str, str] = field(default_factory=dict)
    """The name of each job's patient, or nothing, by the job's id."""
    _why_gone: dict[str, str] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Write what is allowed, take out the rest, and return the counts."""
        self.folder.open()
        known = self.folder.column("patient")
        labelled = list(self._labelled(known))
        groups = groups_of([job for job, _ in labelled], self._patients, self.names)
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

    def _labelled(self, known: Mapping[str, str]) -> Iterator[tuple[Job, Label]]:
        """Find what may be learned from. `known`: names of patients by image, of an earlier export."""
        readings = Readings(self.ledger)
        for job_id in readings.index.job_ids():
            try:
                job = self.ledger.read(job_id)
                if job.state is State.ERASED or (self.clients and job.client not in self.clients):
                    continue
                self._check_consent(job)
                label = label_of(readings.of_job(job_id))
                present = known.get(self._image_of(job_id))
                self._patients[job_id] = self._patient(job) if present is None else present
                yield job, label
            except NotStored:
                continue
            except NoLabel as why:
                self._leave_out(job_id, str(why))
            except ImageError as error:
                self._leave_out(job_id, f"not decoded: {type(error).__name__}")

    def _check_consent(self, job: Job) -> None:
        """Raise NoLabel where the client or its policy does not allow that models learn from the job."""
        if not self.policies.of(job.client).training:
            raise NoLabel("forbidden by the client's policy")
        if not self.consents.of(job).allowed:
            raise NoLabel("the consent was revoked" if self.consents.revoked(job) else "not allowed")

    def _patient(self, job: Job) -> str:
        """Return the name of the patient in the header of a DICOM image; nothing where it names none."""
        if job.image.format != "DICOM":
            return ""
        found = self.decoders.patient(self.ledger.objects.get(image_key(job)), job.client)
        return self.names.of("patient", job.client, *found) if found else ""

    def _image_of(self, job_id: str) -> str:
        return f"{self.names.of('job', job_id)}.png"

    def _row(self, job: Job, label: Label, group: str) -> Row | None:
        name = self._image_of(job.id)
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
        reference = self.consents.of(job).reference
        return {
            **{"image": name, "sha256": sha256, "group": group, "patient": self._patients[job.id]},
            "consent": self.names.of("consent", job.client, reference) if reference else "",
            **_described(job, label, self.names),
        }

    def _leave_out(self, job_id: str, why: str) -> None:
        self.left_out[why] += 1
        self._why_gone[self._image_of(job_id)] = why


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
    bounds = Bounds(**settings.decode_bounds)
    with closing(Decoders(bounds, processes=1)) as decoders:
        policies, consents = Policies(stores.records, _TRUSTED_SECONDS), Consents(stores.records)
        export = Export(stores.ledger, policies, consents, decoders, folder, names, clients)
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
