"""Reads what a reader has typed into the form of a report, and shows it again as it was typed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from werkzeug.datastructures import MultiDict

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.json_body import loads
from jobs.reading.measurement import checked_measurement, text_of
from jobs.reading.reading import Reading
from jobs.reading.report import FINDINGS, MOST_ADVICE, MOST_TEXT
from jobs.record.job import Job

MOST = 1e6
"""No radiograph has a pixel as far as this."""
_DEPTH = 4
"""Levels of the JSON of a measurement."""
_FORM_OF_A_PLACE = "Write x, y, width and height in pixels, such as 120, 80, 60, 40; or x, y for a point."


@dataclass(frozen=True)
class Typed:
    """The fields of the form. A site is a `place`, as its numbers were typed, and a `bone`.

    A measurement is one of the report, and may be wrong as long as the report is a draft.
    """

    finding: str = ""
    sites: tuple[dict[str, str], ...] = ()
    measurements: tuple[dict[str, Any], ...] = ()
    text: str = ""
    advice: str = ""
    urgent: bool = False
    grade: str = ""

    @classmethod
    def of_form(cls, form: MultiDict[str, str]) -> "Typed":
        """Read a form that was sent. Rows of sites without a place are left out.

        Raises Problem 422 for a measurement that is no JSON.
        """
        rows = zip(form.getlist("place"), form.getlist("bone"), strict=False)
        sites = tuple({"place": place.strip(), "bone": bone.strip()} for place, bone in rows if place.strip())
        return cls(
            finding=form.get("finding", ""),
            sites=sites,
            measurements=tuple(_measurement(text) for text in form.getlist("measurement")),
            # A browser sends each line break as two characters, and counts it as one.
            text=form.get("text", "").replace("\r\n", "\n"),
            advice=form.get("advice", "").replace("\r\n", "\n"),
            urgent=bool(form.get("urgent")),
            grade=form.get("grade", ""),
        )

    @classmethod
    def of_reading(cls, reading: Reading) -> "Typed":
        """Return what the form of a reading begins with: its draft, its report, or its first finding."""
        signed = reading.reports[-1]["report"] if reading.reports else None
        return cls.of_record(reading.draft or signed or reading.committed or {})

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Typed":
        """Return the form of a draft or a report. Another program's draft may hold anything."""
        sites, measurements = record.get("sites") or [], record.get("measurements")
        return cls(
            finding=_words(record.get("finding")),
            sites=tuple(_row(site) for site in sites if isinstance(site, dict))
            if isinstance(sites, list | tuple)
            else (),
            measurements=tuple(one for one in measurements if isinstance(one, dict))
            if isinstance(measurements, list)
            else (),
            text=_words(record.get("text")),
            advice=_words(record.get("advice")),
            urgent=bool(record.get("urgent")),
            grade=_words(record.get("grade")),
        )

    def draft(self) -> dict[str, Any]:
        """Return it as a draft, which keeps what is typed wrongly, too."""
        return asdict(self) | {
            "sites": [dict(site) for site in self.sites],
            "measurements": [dict(one) for one in self.measurements],
        }

    def report(self) -> dict[str, Any]:
        """Return it as a report. Raises Problem 422, whose `field` is the field to correct."""
        if self.finding not in FINDINGS:
            raise invalid("finding", "Choose a finding.")
        if len(self.text) > MOST_TEXT:
            raise invalid("text", f"The text takes {MOST_TEXT} characters; this has {len(self.text)}.")
        if len(self.advice) > MOST_ADVICE:
            raise invalid(
                "advice", f"The advice takes {MOST_ADVICE} characters; this has {len(self.advice)}."
            )
        if self.sites and self.finding not in ("fracture", "not_sure"):
            detail = "Sites go with the findings Fracture and Not sure. Remove them, or change the finding."
            raise invalid("sites", detail)
        sites = [_site(number, row) for number, row in enumerate(self.sites, start=1)]
        return {
            "finding": self.finding,
            "sites": sites,
            "measurements": list(self.measurements),
            "text": self.text,
            "advice": self.advice,
            "urgent": self.urgent,
        }

    def shown_measurements(self, job: Job) -> list[tuple[str, str]]:
        """Return each measurement as the form sends it, and as a person reads it."""

        def said(measurement: dict[str, Any]) -> str:
            try:
                return text_of(checked_measurement(measurement, job.image, job.acquisition))
            except (TypeError, ValueError):
                return "Not valid: leave it out"

        return [(json.dumps(one), said(one)) for one in self.measurements]


def draft_tag(draft: Mapping[str, Any] | None) -> str:
    """Return what names a draft: another draft has another tag."""
    # In ASCII: a draft of another program may hold what UTF-8 cannot.
    return sha256(json.dumps(draft, sort_keys=True).encode()).hexdigest()[:16]


def invalid(field: str, detail: str) -> Problem:
    """Make the problem of a field of the form."""
    return Problem(Slug.REPORT_INVALID, detail, field=field)


def _words(given: Any) -> str:
    """Return a value of a draft, which may have any type, as text that a page can show."""
    return str(given or "").encode(errors="replace").decode()


def _measurement(text: str) -> dict[str, Any]:
    """Read a measurement, which the viewer has written. Raises Problem 422."""
    try:
        read = loads(text, _DEPTH)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise invalid("measurements", "A measurement is no JSON object. Measure anew.")
    return read


def _row(site: dict[str, Any]) -> dict[str, str]:
    place = site.get("place")
    if not isinstance(place, str):
        numbers = site.get("box") or site.get("point")
        listed = numbers if isinstance(numbers, list) else []
        place = ", ".join(f"{one:g}" for one in listed if isinstance(one, int | float) and abs(one) < MOST)
    return {"place": _words(place), "bone": _words(site.get("bone"))}


def _site(number: int, row: dict[str, str]) -> dict[str, Any]:
    try:
        numbers = [float(text) for text in row["place"].replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4) or not all(abs(value) < MOST for value in numbers):
        raise invalid("sites", f"Site {number} has no place. {_FORM_OF_A_PLACE}")
    return {"box" if len(numbers) == 4 else "point": numbers} | ({"bone": row["bone"]} if row["bone"] else {})
