"""Collects what must be the same in either byte order: on x86 and on s390x, compared as JSON."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from api.ar.glb import glb_of
from api.ar.registration import Seen, registration_of
from api.ar.scene import Group, Part, Scene
from api.ar.usdz import usdz_of
from api.intake.submission import Submission
from jobs.callbacks.signing import signed, webhook_secret
from jobs.geometry.planar_pose import Pinhole
from jobs.record.documents import document
from jobs.record.ids import made_at
from jobs.record.job import ImageFacts, Job
from jobs.record.job_json import job_to_json
from jobs.record.states import Delivery
from jobs.store.claims import idempotency_claim_key, own_id_claim_key
from jobs.store.ledger_keys import INVERTED
from model.bundle import WEIGHTS, Bundle
from model.decode.image import decode
from model.engines import ONNX_RUNTIME, start
from model.letterbox import Letterbox, to_input, to_square
from model.prediction import cells_to_bytes
from model.regions import spread_heat
from model.weights import each_weight

Facts = dict[str, Any]
MOMENT = datetime(2026, 3, 29, 1, 30, 0, 250_000, tzinfo=UTC)
JOB = Job(
    id="job_01KMVCZ1W7Z8Q4Y5N6H2T3R9CX",  # pragma: allowlist secret
    client="clinic-a",
    image=ImageFacts(sha256="0" * 64, width=373, height=454, format="JPEG", size=9),
    created_at=MOMENT,
    queued_at=MOMENT,
    delivery=Delivery.PENDING,
    reference="Zürich 7",
    metadata={"ward": "łóżko", "count": 2**53},
    callback_url="https://clinic.example/hook",
)
SIGNING_KEY = "a signing key that only this comparison knows"


def of_picture(file: bytes) -> Facts:
    """What the one pixel path makes of a file, to the bit."""
    radiograph = decode(file)
    pixels = radiograph.pixels
    return {
        "format": radiograph.format,
        "sha256": radiograph.sha256,
        "chroma": radiograph.chroma,
        "acquisition": radiograph.acquisition.facts(),
        "size": [radiograph.width, radiograph.height],
        "pixels": digest(pixels, "u1"),
        "square": digest(to_square(pixels, 64), "u1"),
        "input": digest(to_input(pixels, 64), "<f4"),
        "field": repr(radiograph.exposed_field),
    }


def of_weights(bundle: Bundle) -> Facts:
    """Every weight as an engine is given it."""
    return {name: digest(values, "<f4") for name, values in each_weight(bundle.folder / WEIGHTS)}


def of_answers(bundle: Bundle, files: list[bytes]) -> Facts:
    """What ONNX Runtime answers on these pictures; one at a time, for emulation is slow."""
    engine = start(ONNX_RUNTIME, bundle, lambda _: None)
    size = bundle.description.input_size
    answers = [engine.run(to_input(decode(file).pixels, size)[np.newaxis]) for file in files]
    place = Letterbox.of(373, 454, size)
    return {
        "scores": [float(answer.scores[0]) for answer in answers],
        "cells": [answer.cells[0].tolist() for answer in answers],
        "features": [float(answer.features[0].mean()) for answer in answers],
        "heat": [float(spread_heat(answer.cells[0], place).mean()) for answer in answers],
    }


def of_jobs() -> Facts:
    """Records, keys, cursors, signatures, and what tells that something is sent twice."""
    secrets = [webhook_secret(SIGNING_KEY, JOB.client, generation) for generation in (0, 3)]
    event = {
        "type": "job.succeeded",
        "timestamp": MOMENT.isoformat(),
        "data": document(JOB, "https://x.example"),
    }
    fields = {
        name: getattr(JOB, name) for name in ("image", "callback_url", "reference", "priority", "metadata")
    }
    sent = Submission(b"", acquisition=None, deadline_seconds=60, retention_seconds=None, **fields)
    body, headers = signed(f"{JOB.id}.1", event, secrets, MOMENT)
    return {
        "record": hashlib.sha256(job_to_json(JOB)).hexdigest(),
        "place in the listing": JOB.id.removeprefix("job_").translate(INVERTED),
        "made at": made_at(JOB.id).isoformat(),
        "submission": sent.digest,
        "claims": [idempotency_claim_key(JOB.client, "Zürich 7"), own_id_claim_key(JOB.client, "7-4711")],
        "looked": cells_to_bytes(np.linspace(0, 1, 64).reshape(8, 8)).hex(),
        "secrets": secrets,
        "body": body.decode(),
        "headers": headers,
    }


def of_scenes() -> Facts:
    """The files of a scene, without its pictures: another FreeType draws other text."""
    quads = np.linspace(-0.2, 0.2, 24).reshape(2, 4, 3)
    scene = Scene((Group("regions", (Part("region_1", quads, (255, 205, 90)),)),), {"spacing_mm": [0.2, 0.1]})
    files = {"glb": glb_of(scene), "usdz": usdz_of(scene)}
    return {name: hashlib.sha256(file).hexdigest() for name, file in files.items()}


def of_poses() -> list[float]:
    """Where a marker stands before a camera, and its sigmas."""
    corners = np.array([[364.6, 195.3], [458.4, 185.9], [475.2, 284.9], [384.6, 290.3]])
    found = registration_of({"marker_mm": 50}, Pinhole(900, 900, 480, 360), Seen("corners", corners, None))
    return [*np.ravel(found["camera_from_marker"]).tolist(), *found["sigma_m"], *found["sigma_rad"]]


def of_everything(pictures: dict[str, bytes], bundle: Bundle) -> Facts:
    """All of it, under names that say what differs where something does."""
    return {
        **{name: of_picture(file) for name, file in pictures.items()},
        "weights": of_weights(bundle),
        "jobs": of_jobs(),
        "scenes": of_scenes(),
        "poses": of_poses(),
    }


def digest(array: np.ndarray, order: str) -> str:
    """SHA-256 of the numbers, in this type and order of bytes."""
    return hashlib.sha256(array.astype(order).tobytes()).hexdigest()


def pictures_in(folder: Path) -> dict[str, bytes]:
    """Each picture's name and its file, as `tests.s390x.carried` has left them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
