"""Asks a bundle about X-rays on the path that the service takes, and keeps the answers as they come."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model.bundle import CHECK, GRAPH, MANIFEST, WEIGHTS, read_bundle
from model.classifier import LARGEST_BATCH, Classifier, NetworkOutput
from model.decode.image import ImageError, NotARadiograph, Radiograph, decode
from model.engines import choose
from model.engines.int8_ranges import RANGES
from training.data.fingerprints import Fingerprints

_ANSWERS = "answers.sqlite"
MISSING, UNREADABLE, NO_RADIOGRAPH = "missing-file", "unreadable-image", "not-a-radiograph"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (asked TEXT, sha256 TEXT, answer TEXT, PRIMARY KEY (asked, sha256))"
)


@dataclass(frozen=True)
class Served:
    """What the service makes of one file: a `score` in 0..1, not calibrated, or why it is `refused`.

    `sha256` is that of the bytes, empty for a file that is not there. `width`, `height` and `format` are
    known of what decodes; `warnings` are the types of those of an answer; `body_part` and `view` are what a
    DICOM header says.
    """

    sha256: str
    score: float | None = None
    refused: str = ""
    why: str = ""
    warnings: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    format: str = ""
    body_part: str = ""
    view: str = ""


def serve(paths: Sequence[Path], bundle: Path, run: Path) -> list[Served]:
    """Answer for each file, in order; what an earlier call of this run has answered is not asked again."""
    classifier: Classifier | None = None
    digests = [_digest(path) for path in tqdm(paths, "reading", unit="image")]
    with Fingerprints(run) as fingerprints, _stored(run, _asked(bundle)) as (known, keep):
        missing = {
            digest: path
            for path, digest in zip(paths, digests, strict=True)
            if digest and (digest not in known or (known[digest].width and digest not in fingerprints))
        }
        with tqdm(total=len(missing), desc="asking the bundle", unit="image") as bar:
            waiting: list[Radiograph] = []
            for digest, path in missing.items():
                bar.update()
                try:
                    radiograph = decode(path.read_bytes())
                except ImageError as error:
                    keep([_refused(digest, UNREADABLE, error)])
                    continue
                fingerprints.take(digest, radiograph.pixels)
                classifier = classifier or Classifier.load(bundle)
                try:
                    classifier.refuse_unless_gray(radiograph)
                except NotARadiograph as error:
                    keep([_refused(digest, NO_RADIOGRAPH, error, radiograph)])
                    continue
                waiting.append(radiograph)
                if len(waiting) == LARGEST_BATCH:
                    keep(_answers(classifier, waiting))
                    waiting = []
            if classifier and waiting:
                keep(_answers(classifier, waiting))
        return [known[digest] if digest else Served("", refused=MISSING) for digest in digests]


def _answers(classifier: Classifier, radiographs: Sequence[Radiograph]) -> list[Served]:
    answers = classifier.run([classifier.prepare(radiograph) for radiograph in radiographs])
    return [_answer(classifier, *pair) for pair in zip(radiographs, answers, strict=True)]


def _answer(classifier: Classifier, radiograph: Radiograph, answer: NetworkOutput) -> Served:
    try:
        warnings = classifier.explain(radiograph, answer).warnings
    except NotARadiograph as error:
        return _refused(radiograph.sha256, NO_RADIOGRAPH, error, radiograph)
    types = tuple(warning.type for warning in warnings)
    return Served(radiograph.sha256, answer.score, warnings=types, **_facts(radiograph))


def _refused(sha256: str, kind: str, error: ImageError, radiograph: Radiograph | None = None) -> Served:
    # Numbers would make a reason of its own of each file.
    why = re.sub(r"\d[\d,.]*", "N", error.detail.partition(". ")[0].rstrip("."))
    return Served(sha256, refused=kind, why=why, **_facts(radiograph) if radiograph else {})


def _facts(radiograph: Radiograph) -> dict[str, Any]:
    acquisition = radiograph.acquisition
    return {
        "width": radiograph.width,
        "height": radiograph.height,
        "format": radiograph.format,
        "body_part": acquisition.body_part or "",
        "view": acquisition.view or "",
    }


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _asked(bundle: Path) -> str:
    """Name all that an answer depends on: not calibration and thresholds, which are applied to it later."""
    files = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["files"]
    depends = [files.get(name) for name in (WEIGHTS, GRAPH, CHECK, RANGES)]
    verified = read_bundle(bundle)
    version, engine = verified.description.preprocessing_version, choose(None, verified)
    return hashlib.sha256(json.dumps([*depends, version, engine]).encode()).hexdigest()


@contextmanager
def _stored(run: Path, asked: str) -> Iterator[tuple[dict[str, Served], Callable[[Sequence[Served]], None]]]:
    """Open the kept answers: by digest, and a function that keeps more of them."""
    with closing(sqlite3.connect(run / _ANSWERS)) as file:
        file.execute(_TABLE)
        rows = file.execute("SELECT sha256, answer FROM answers WHERE asked = ?", (asked,))
        known = {sha256: _read(json.loads(answer)) for sha256, answer in rows}

        def keep(answers: Sequence[Served]) -> None:
            known.update({answer.sha256: answer for answer in answers})
            with file:
                file.executemany(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
                    [(asked, one.sha256, json.dumps(asdict(one))) for one in answers],
                )

        yield known, keep


def _read(stored: dict[str, Any]) -> Served:
    # JSON knows no tuples.
    return Served(**(stored | {"warnings": tuple(stored["warnings"])}))
