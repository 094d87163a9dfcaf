"""Tests the worklist, the viewer's page with its forms, and the data of radiographs."""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from io import BytesIO

import numpy as np
import pytest

from api.identity.key_store import Keys
from jobs.lifecycle.deletion import delete
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.reading.states import Mode, ReadingState
from jobs.record.ids import new_id
from jobs.record.job import Job, now
from jobs.store.audit import Audit
from jobs.store.consents import Consents
from jobs.store.ledger import Ledger
from jobs.store.served_model import publish
from tests.api.reading_room.cases import RESULT, SERVED, TELLING, put_job, put_reading, radiograph
from tests.api.reading_room.conftest import OWN, Browser
from tests.api.readings.codes import Codes
from tests.conftest import a_study
from tests.pictures import dicom_of_a_study
from tests.results import ACQUISITION

JSON = {"Accept": "application/json"}


@dataclass
class Person:
    """A reader at a browser."""

    browser: Browser
    reader: Reader
    codes: Codes
    csrf: str = ""

    def open(self, path: str, status: int = 200, **given) -> str:
        answer = self.browser.open(path, **given)
        assert answer.status_code == status, answer.text
        return answer.text

    def send(self, path: str, headers: dict | None = None, **form: object):
        data = {"csrf": self.csrf} | form
        return self.browser.open(path, "POST", {"Origin": OWN} | (headers or {}), data=data)

    def act(self, reading: Reading, act: str, headers: dict | None = None, **form: object):
        return self.send(f"/read/readings/{reading.id}/{act}", headers, **form)

    def tag(self, job_id: str) -> str:
        return self.open(f"/read/{job_id}").split('name="tag" value="')[1].split('"')[0]


@pytest.fixture
def person_of(app, readers: Readers):
    def made(
        name: str = "Dr. Ada Bone", groups: frozenset[str] = frozenset({"msk"}), client: str | None = None
    ):
        key, reader = readers.create(name, groups, client)
        browser = Browser(app.test_client())
        assert browser.sign_in(key).status_code == 303
        person = Person(browser, reader, Codes(reader))
        person.csrf = browser.token("/read")
        return person

    return made


@pytest.fixture
def ada(person_of) -> Person:
    return person_of()


@pytest.fixture
def job(ledger: Ledger) -> Job:
    return put_job(ledger)


def text_of(html: str) -> str:
    """The text of a page, in single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_reading_goes_from_the_worklist_to_a_signature_without_script(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job)
    row = text_of(ada.open("/read"))
    assert "knee 17 left forearm AP hidden until you commit waits" in row
    assert "Claim" in ada.open(f"/read/{job.id}")
    assert ada.act(reading, "claim").headers["Location"] == f"/read/{job.id}#report"
    sites = {"place": ["130, 230, 60, 70", ""], "bone": ["radius", ""]}
    form = {"finding": "fracture", "text": "Seen.\r\nTwice.", "urgent": "1", **sites}
    committed = ada.act(reading, "commit", tag=ada.tag(job.id), **form)
    assert committed.status_code == 303, committed.text
    page = text_of(ada.open(f"/read/{job.id}"))
    assert "You committed: Fracture , 1 site, blind." in page
    assert "The model: Indeterminate, probability 0.47 , 1 region. AI, not reviewed." in page
    assert "They cannot be compared" in page
    assert "3b Differ" in page
    signed = ada.act(reading, "sign", tag=ada.tag(job.id), grade="2a", code=ada.codes.next(), **form)
    assert signed.status_code == 303, signed.text
    after = Readings(ledger).read(reading.id)
    assert after.state is ReadingState.SIGNED
    assert after.reports[0]["report"] == {
        "finding": "fracture",
        "sites": [{"box": [130, 230, 60, 70], "bone": "radius"}],
        "text": "Seen.\nTwice.",
        "urgent": True,
        "advice": "",
    }
    assert after.committed["blind"] is True
    page = text_of(ada.open(f"/read/{job.id}"))
    assert "Signed by Dr. Ada Bone" in page
    assert "Graded 2a" in page
    listed = text_of(ada.open("/read"))
    assert "Nothing waits to be read." in listed
    assert "Signed by you last" in listed
    amended = form | {"finding": "no_fracture", "place": [""], "bone": [""], "reason": "A second look."}
    assert ada.act(reading, "amend", code=ada.codes.next(), **amended).status_code == 303
    page = text_of(ada.open(f"/read/{job.id}"))
    assert "Version 2." in page
    assert "Earlier versions" in page
    assert "Amended because : A second look." in page


@pytest.mark.parametrize(
    ("act", "form", "status", "told"),
    [
        ("commit", {"finding": ""}, 422, "Choose a finding."),
        ("commit", {"finding": "fracture", "place": "here", "bone": ""}, 422, "Site 1 has no place."),
        ("commit", {"finding": "fracture", "place": "1,2,9000,4", "bone": ""}, 422, "480 x 400 pixels"),
        ("commit", {"finding": "no_fracture", "place": "1,2", "bone": ""}, 422, "Sites go with the findings"),
        ("commit", {"finding": "not_sure", "advice": "x" * 501}, 422, "takes 500 characters; this has 501"),
        ("sign", {"finding": "not_sure"}, 403, "Type the one-time code"),
        ("sign", {"finding": "not_sure", "code": "000000"}, 409, "Commit a finding first"),
        ("draft", {"tag": "old"}, 412, "Another window of yours"),
    ],
)
def test_a_refused_form_says_what_to_do_and_keeps_what_was_typed(
    ada: Person, job: Job, ledger, act: str, form: dict, status: int, told: str
):
    reading = put_reading(ledger, job)
    ada.act(reading, "claim")
    form = {"tag": ada.tag(job.id), "text": "Kept <text>", "finding": "not_sure"} | form
    answer = ada.act(reading, act, **form)
    assert answer.status_code == status
    assert told in text_of(answer.text)
    assert "Kept &lt;text&gt;" in answer.text
    if place := form.get("place"):
        assert f'value="{place}"' in answer.text
    as_json = ada.act(reading, act, JSON, **form | ({"tag": ada.tag(job.id)} if status != 412 else {}))
    assert as_json.status_code == status
    assert as_json.json["field"]


def test_what_was_typed_outlives_a_claim_that_another_reader_took(ada, person_of, job: Job, ledger):
    reading, bob = put_reading(ledger, job), person_of("Dr. Bob Bone")
    ada.act(reading, "claim")
    ada.act(reading, "release")
    assert bob.act(reading, "claim").status_code == 303
    answer = ada.act(reading, "commit", finding="fracture", text="My text")
    assert answer.status_code == 409
    assert "My text" in answer.text
    assert "Dr. Bob Bone works on" in answer.text


def test_what_was_typed_outlives_a_signature_of_another_reader(ada, person_of, job: Job, ledger):
    reading, bob = put_reading(ledger, job, Mode.ASSISTED), person_of("Dr. Bob Bone")
    ada.act(reading, "claim")
    ada.act(reading, "release")
    bob.act(reading, "claim")
    form = {"finding": "not_sure", "tag": bob.tag(job.id), "code": bob.codes.next()}
    assert bob.act(reading, "sign", **form).status_code == 303
    for act in ("draft", "sign"):
        answer = ada.act(reading, act, finding="fracture", text="My text", code=ada.codes.next())
        assert answer.status_code == 409
        assert "My text" in answer.text
        assert "The reading is signed" in text_of(answer.text)


def test_a_window_is_told_that_its_report_was_signed_in_another(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    ada.act(reading, "claim")
    before = ada.tag(job.id)
    form = {"finding": "not_sure", "text": "Signed", "tag": before, "code": ada.codes.next()}
    assert ada.act(reading, "sign", **form).status_code == 303
    late = ada.act(reading, "sign", **form | {"text": "Later", "code": ada.codes.next()})
    assert late.status_code == 409
    assert "The reading is signed" in text_of(late.text)
    assert "Another window" not in late.text
    assert "Later" in late.text


def test_a_draft_is_kept_over_other_changes_and_refused_over_a_draft(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job)
    ada.act(reading, "claim")
    tag = {"If-Match": f'"{ada.tag(job.id)}"'}
    Readings(ledger).save(reading, lambda present: present.told_until(2))
    first = ada.act(reading, "draft", JSON | tag, text="One")
    assert first.status_code == 200, first.text
    assert ada.act(reading, "draft", JSON | tag, text="Two").status_code == 412
    assert Readings(ledger).read(reading.id).draft["text"] == "One"
    again = ada.act(reading, "draft", JSON | tag, text="One")
    assert (again.status_code, again.headers["ETag"]) == (200, first.headers["ETag"]), "the same draft"
    second = ada.act(reading, "draft", JSON | {"If-Match": first.headers["ETag"]}, text="Two")
    assert second.status_code == 200
    assert "Two" in ada.open(f"/read/{job.id}")


@pytest.mark.parametrize(
    "draft",
    [
        {"sites": [{"box": 5}, {"point": [10**400, 1]}, 7]},
        {"text": "\ud800"},
        {"sites": {"a": 1}},
        {"measurements": [7, {}, {"kind": ["\ud800"]}]},
    ],
)
def test_any_draft_of_another_program_is_shown(ada: Person, job: Job, ledger, draft: dict):
    reading = put_reading(ledger, job)
    ada.act(reading, "claim")
    Readings(ledger).save(Readings(ledger).read(reading.id), lambda present: present.drafted(draft, now()))
    assert "Commit finding" in ada.open(f"/read/{job.id}")


def test_no_byte_of_the_answer_reaches_a_blind_reader(ada, person_of, app, job: Job, ledger, readers):
    reading = put_reading(ledger, job)
    other = put_job(ledger, study=None)
    put_reading(ledger, other, Mode.BLIND)
    bob = person_of("Dr. Bob Bone")
    routes = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(("/read", "/v1/readings"))]
    key, _ = readers.create("Dr. Cid Bone", frozenset({"msk"}))
    asked = set()

    def walk(reader: Person) -> None:
        for rule in routes:
            values = {"reading_id": reading.id, "job_id": job.id, "opened_id": job.id, "own_id": "own-1"}
            if not rule.arguments <= values.keys() or "GET" not in rule.methods or "static" in rule.rule:
                continue
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).format(**values)
            # The test picture is the same for everyone, and full of numbers.
            if path in ("/read/events", "/read/sign-in", "/read/display"):
                continue
            for accept in ("text/html", "application/json", "*/*"):
                headers = {"Accept": accept, "If-None-Match": '"x"', "Accept-Encoding": "identity"}
                if path.startswith("/v1"):
                    headers["Authorization"] = f"Bearer {key}"
                answer = reader.browser.open(path, headers=headers)
                asked.add((rule.rule, answer.status_code))
                found = answer.get_data() + str(answer.headers).encode()
                if answer.headers["Content-Type"] in ("image/jpeg", "application/octet-stream"):
                    found = str(answer.headers).encode()  # The radiograph itself.
                for word in TELLING:
                    told = re.search(rb"(?<![\w.])%s(?!\w)" % re.escape(word.encode()), found, re.IGNORECASE)
                    assert not told, (path, accept, word)

    walk(ada)
    ada.act(reading, "claim")
    walk(ada)
    walk(bob)
    assert ("/read/<job_id>/answer", 403) in asked
    assert ("/read/<job_id>/heat.png", 403) in asked
    assert ("/read/<job_id>/pixels", 200) in asked
    assert ("/v1/readings/<reading_id>", 200) in asked
    assert ("/v1/readings", 200) in asked
    refused = ada.browser.open(f"/read/{job.id}/answer", headers=JSON)
    assert refused.json["type"] == "/problems/answer-hidden"
    ada.act(reading, "commit", tag=ada.tag(job.id), finding="no_fracture")
    shown = ada.browser.open(f"/read/{job.id}/answer", headers=JSON).json
    assert shown["probability"] == 0.4711
    assert [point["meaning"] for point in shown["operating_points"]] == [
        "Below it hardly any fracture.",
        "From it mostly fractures.",
    ]
    assert ada.browser.open(f"/read/{job.id}/heat.png").content_type == "image/png"
    walk(bob)
    assert not Readings(ledger).has_seen(job.id, bob.reader.id)
    assert Readings(ledger).has_seen(job.id, ada.reader.id)


def test_a_job_of_others_is_not_there(ada: Person, person_of, job: Job, ledger):
    stranger = person_of("Dr. Eve Other", frozenset({"chest"}), "hospital")
    reading = put_reading(ledger, job)
    for path in ("", "/pixels", "/preview.jpg", "/answer", "/heat.png"):
        assert stranger.browser.open(f"/read/{job.id}{path}").status_code == 404
    for act in ("claim", "release", "return", "draft", "commit", "sign", "amend"):
        assert stranger.act(reading, act, finding="fracture").status_code == 404
    assert "knee 17" not in stranger.open("/read")
    assert ada.browser.open("/read/job_nothing").status_code == 404


def audited(ledger: Ledger, redis, reader: Reader) -> list[tuple]:
    """The acts of a reader at the worklist, oldest first: action, subject, whose job it is, and status."""
    audit = Audit(ledger.objects, redis)
    found = [*audit.entries(now() - timedelta(minutes=5)), *audit.waiting()]
    return [
        (one["action"], one["subject"], one["client"], one["status"])
        for one in sorted(found, key=lambda one: str(one["id"]))
        if one["reader"] == reader.id and one["action"] != "sign-in"
    ][1:]  # The first one is the worklist itself, which a person opens after signing in.


def test_every_opening_of_a_radiograph_is_audited_once(ada: Person, job: Job, ledger, redis):
    put_reading(ledger, job, Mode.ASSISTED)
    for _ in range(2):
        ada.open(f"/read/{job.id}")
        for data in ("pixels", "preview.jpg", "answer", "heat.png"):
            assert ada.browser.open(f"/read/{job.id}/{data}").status_code == 200
    assert audited(ledger, redis, ada.reader) == [("viewed", job.id, "clinic", 200)] * 2


@pytest.mark.parametrize("data", ["pixels", "preview.jpg", "answer", "heat.png"])
def test_data_that_are_fetched_without_a_page_are_audited(ada: Person, job: Job, ledger, redis, data):
    put_reading(ledger, job, Mode.ASSISTED)
    for _ in range(3):
        assert ada.browser.open(f"/read/{job.id}/{data}").status_code == 200
    assert audited(ledger, redis, ada.reader) == [("viewed", job.id, "clinic", 200)]


def test_a_refused_look_at_a_hidden_answer_is_audited(ada: Person, job: Job, ledger, redis):
    put_reading(ledger, job)
    for data in ("answer", "heat.png"):
        assert ada.browser.open(f"/read/{job.id}/{data}", headers=JSON).status_code == 403
    assert audited(ledger, redis, ada.reader) == [("viewed", job.id, "clinic", 403)]


def test_the_answers_that_a_worklist_shows_are_audited(ada: Person, job: Job, ledger, redis):
    put_reading(ledger, job, Mode.ASSISTED)
    for _ in range(3):
        assert "Indeterminate, probability 0.47" in ada.open("/read")
    assert audited(ledger, redis, ada.reader) == [("viewed", job.id, "clinic", 200)]


def test_a_wrong_code_is_audited_as_what_it_was_for(ada: Person, job: Job, ledger, redis):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    ada.act(reading, "claim")
    form = {"finding": "not_sure", "tag": ada.tag(job.id), "code": "000000"}
    assert ada.act(reading, "sign", JSON, **form).status_code == 403
    assert ("signReport", reading.id, "clinic", 403) in audited(ledger, redis, ada.reader)


def test_drafts_are_audited_once_an_hour(ada: Person, job: Job, ledger, redis):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    ada.act(reading, "claim")
    for number in range(3):
        draft = {"tag": ada.tag(job.id), "text": f"draft {number}"}
        assert ada.act(reading, "draft", JSON, **draft).status_code == 200
    actions = [act[0] for act in audited(ledger, redis, ada.reader)]
    assert actions.count("saveDraft") == 1


def test_an_assisted_reader_sees_the_answer_and_signs_at_once(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    assert "Indeterminate, probability 0.47" in ada.open("/read")
    ada.act(reading, "claim")
    page = ada.open(f"/read/{job.id}")
    assert "Commit finding" not in page
    form = {"finding": "not_sure", "tag": ada.tag(job.id), "code": ada.codes.next()}
    assert ada.act(reading, "sign", **form).status_code == 303
    assert Readings(ledger).read(reading.id).committed["blind"] is False


def test_the_answer_has_the_thresholds_of_its_own_bundle(ada: Person, job: Job, ledger: Ledger):
    # Recalibrated: the same weights with other thresholds.
    points = [{**point, "threshold": 0.9} for point in SERVED["operating_points"]]
    publish(ledger.objects, {**SERVED, "operating_points": points})
    put_reading(ledger, job, Mode.ASSISTED)
    told = ada.browser.open(f"/read/{job.id}/answer").json["operating_points"]
    assert [(point["name"], point["threshold"]) for point in told] == [("low", 0.2157), ("high", 0.6493)]
    assert told[0]["meaning"] == "Below it hardly any fracture."


@pytest.mark.parametrize(("probability", "text"), [(0.0041, "< 0.01"), (0.9961, "> 0.99")])
def test_pages_show_no_false_digits(ada: Person, ledger: Ledger, probability: float, text: str):
    job = put_job(ledger, {**RESULT, "probability": probability, "regions": []})
    put_reading(ledger, job, Mode.ASSISTED)
    for path in ("/read", f"/read/{job.id}"):
        assert f"Indeterminate, probability {text}" in unescape(text_of(ada.open(path)))


def test_the_worklist_is_ordered_and_filtered(ada: Person, ledger):
    jobs = {name: put_job(ledger, reference=name) for name in ("later", "late", "stat", "soon")}
    at = now()
    put_reading(ledger, jobs["later"], due_at=at + timedelta(hours=5))
    put_reading(ledger, jobs["late"], due_at=at - timedelta(minutes=90))
    put_reading(ledger, jobs["stat"], due_at=at + timedelta(hours=9), priority="stat")
    soon = put_reading(ledger, jobs["soon"], due_at=at + timedelta(hours=1))
    ada.act(soon, "claim")

    def listed(query: str = "") -> list[str]:
        page = ada.open(f"/read{query}").split('id="lists"')[1]
        return re.findall(r"<a data-row [^>]*>(\w+)</a>", page)

    assert listed() == ["late", "stat", "soon", "later"]
    assert "overdue by 1 h 30 min" in ada.open("/read")
    assert listed("?priority=stat") == ["stat"]
    assert listed("?state=overdue") == ["late"]
    assert listed("?mine=1") == listed("?state=claimed") == ["soon"]
    assert "No reading fits this filter." in ada.open("/read?mine=1&state=overdue")

    def led(name: str, way: str) -> str:
        return ada.browser.open(f"/read/{jobs[name].id}/{way}").headers["Location"]

    assert f'rel="next" href="/read/{jobs["stat"].id}/next"' in ada.open(f"/read/{jobs['stat'].id}")
    assert led("stat", "previous") == f"/read/{jobs['late'].id}"
    assert led("stat", "next") == f"/read/{jobs['soon'].id}"
    assert led("later", "next") == led("late", "previous") == "/read"


def test_the_page_compares_a_finding_with_an_answer_that_comes_later(ada: Person, ledger):
    job = put_job(ledger, None)
    reading = put_reading(ledger, job)
    answer = RESULT | {"finding": "fracture", "probability": 0.91}
    ada.act(reading, "claim")
    assert ada.act(reading, "commit", finding="no_fracture", tag=ada.tag(job.id)).status_code == 303
    assert "the model has no answer" in ada.open(f"/read/{job.id}")
    ledger.append(ledger.append(job.started("w", now())).succeeded(answer, now(), bytes(256)))
    page = text_of(ada.open(f"/read/{job.id}"))
    assert "the model has no answer" not in page
    assert "The model finds a fracture; the reader finds none." in page


def test_a_reading_is_released_and_returned(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job)
    ada.act(reading, "claim")
    assert ada.act(reading, "release").headers["Location"] == "/read"
    ada.act(reading, "claim")
    refused = ada.act(reading, "return", reason="")
    assert refused.status_code == 422
    assert "Choose why" in refused.text
    explained = ada.act(reading, "return", reason="", why="Left was <asked>")
    assert 'value="Left was &lt;asked&gt;"' in explained.text
    chosen = ada.act(reading, "return", reason="wrong_side", why="w" * 501)
    assert chosen.status_code == 422
    assert 'value="wrong_side" selected' in chosen.text
    assert ada.act(reading, "return", reason="wrong_side", why="Left was asked").status_code == 303
    assert "It shows the wrong side . Left was asked" in text_of(ada.open(f"/read/{job.id}"))


def test_what_a_reader_signed_is_listed_until_its_job_is_deleted(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    ada.act(reading, "claim")
    form = {"finding": "not_sure", "tag": ada.tag(job.id), "code": ada.codes.next()}
    assert ada.act(reading, "sign", **form).status_code == 303
    readings = Readings(ledger)
    assert [one.id for one in readings.signed_by(ada.reader.id, 5)] == [reading.id]
    readings.erase_of(job.id)
    assert not list(ledger.objects.keys("readings/signed/"))
    assert not readings.signed_by(ada.reader.id, 5)


def test_each_of_two_readings_of_a_job_has_its_form(ada: Person, job: Job, ledger):
    first, second = (
        put_reading(ledger, job, reading_id=new_id("reading"), question=text)
        for text in ("First?", "Second?")
    )
    assert ada.act(second, "claim").headers["Location"] == f"/read/{job.id}#report"
    assert ada.act(first, "claim").status_code == 303
    assert "First?" in ada.open(f"/read/{job.id}?reading={first.id}")
    refused = ada.act(first, "commit", finding="", text="Of the first")
    assert refused.status_code == 422
    assert f"/read/readings/{first.id}/commit" in refused.text
    assert f"?reading={second.id}" in refused.text


def test_a_disagreement_opens_an_arbitration_for_another_reader(ada, person_of, ledger):
    job = put_job(ledger, RESULT | {"finding": "fracture", "probability": 0.9})
    reading, bob = put_reading(ledger, job), person_of("Dr. Bob Bone")
    ada.act(reading, "claim")
    ada.act(reading, "commit", tag=ada.tag(job.id), finding="no_fracture")
    assert "The model finds a fracture; the reader finds none." in ada.open(f"/read/{job.id}")
    form = {"finding": "no_fracture", "grade": "3b", "code": ada.codes.next(), "tag": ada.tag(job.id)}
    assert ada.act(reading, "sign", **form).status_code == 303
    assert "Nothing waits" in ada.open("/read")
    assert "decides a disagreement" in bob.open("/read")
    # Another reading of the same radiograph: each row opens its own.
    later = put_reading(ledger, job, Mode.ASSISTED, reading_id=new_id("reading"))
    arbitration = next(one for one in Readings(ledger).of_job(job.id) if one.arbitrates)
    for one in (later, arbitration):
        assert f'href="/read/{job.id}?reading={one.id}"' in bob.open("/read")
    Readings(ledger).save(later, lambda present: present.canceled(now()))
    page = text_of(bob.open(f"/read/{job.id}"))
    assert "Another reader disagrees with the model. You decide" in page
    assert "Graded 3b" in page
    assert "Signed by Dr. Ada Bone" in page


def test_a_worklist_leaves_out_a_radiograph_that_is_being_deleted(ada: Person, job: Job, ledger):
    put_reading(ledger, job, Mode.ASSISTED)
    ledger.append(ledger.read(job.id).erased(now()))
    assert job.id not in ada.open("/read")


def test_a_client_sees_its_radiographs_page_by_page(person_of, ledger):
    jobs = [put_job(ledger, RESULT if n else None, reference=f"r{n}") for n in range(3)]
    put_job(ledger, client="hospital", reference="foreign")
    clerk = person_of("Clerk", frozenset(), "clinic")
    page = text_of(clerk.open("/read"))
    assert "Radiographs of clinic" in page
    assert "r1 left forearm AP Indeterminate, probability 0.47 analysed" in page
    assert "waits for the model" in page
    assert "foreign" not in page
    older = clerk.open(f"/read?cursor={jobs[1].id}")
    assert "r0" in older
    assert "r2" not in older
    reader = person_of("Reader", frozenset({"msk"}), "clinic")
    assert "0.47" not in reader.open("/read")
    assert "open to see" in reader.open("/read")


def test_a_clients_own_id_leads_to_its_radiograph(person_of, ada, ledger, api_job):
    clerk = person_of("Clerk", frozenset(), "clinic")
    answer = clerk.browser.open("/read/find?id=my-17")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/read/{api_job}")
    framed = clerk.browser.open("/read/find?id=my-17&embed=1")
    assert framed.headers["Location"] == f"/read/{api_job}?embed=1"
    # A reader of a group names the client.
    assert ada.browser.open("/read/find?id=my-17&client=clinic").status_code == 404
    put_reading(ledger, ledger.read(api_job))
    assert ada.browser.open("/read/find?id=my-17&client=clinic").status_code == 303
    assert ada.browser.open("/read/find?id=my-17").status_code == 404


def test_a_link_tells_a_stranger_nothing(person_of, ledger, dicom_jobs):
    stranger = person_of("Other", frozenset({"chest"}), "hospital")
    links = [
        *("id=my-17", "id=nothing", f"id={dicom_jobs[0]}", "study=1.2.3", f"study={STUDY_UID}", "study=", ""),
        *(f"study={STUDY_UID}&client=clinic", "study=1.2.3&client=clinic", "client=..%2Fclinic&study=1"),
        *(f"id={dicom_jobs[0]}&client=clinic", "id=job_0&client=clinic"),
    ]
    answers = [stranger.browser.open(f"/read/find?{link}", headers=JSON) for link in links]
    told = {(answer.status_code, answer.json["type"], answer.json["detail"]) for answer in answers}
    assert len(told) == 1
    assert answers[0].status_code == 404


def test_a_study_uid_leads_to_all_views_until_they_are_deleted(person_of, ledger, dicom_jobs):
    clerk = person_of("Clerk", frozenset(), "clinic")
    page = clerk.open(f"/read/find?study={STUDY_UID}")
    assert "Views of one study" in page
    assert all(f"/read/{job_id}/pixels" in page for job_id in dicom_jobs)
    assert STUDY_UID.encode() not in b"".join(ledger.objects.get(key) for key in ledger.objects.keys("jobs/"))
    delete(dicom_jobs[0], ledger)
    led = clerk.browser.open(f"/read/find?study={STUDY_UID}")
    assert (led.status_code, led.headers["Location"]) == (303, f"/read/{dicom_jobs[1]}")
    delete(dicom_jobs[1], ledger)
    assert clerk.browser.open(f"/read/find?study={STUDY_UID}").status_code == 404
    assert not [key for key in ledger.objects.keys("clients/") if "/filed/" in key]


def test_each_radiograph_that_is_shown_with_others_is_audited(person_of, ledger, redis, dicom_jobs):
    clerk = person_of("Clerk", frozenset(), "clinic")
    link = f"/read/find?study={STUDY_UID}"
    for _ in range(2):
        clerk.open(link)
    assert sorted(audited(ledger, redis, clerk.reader)) == sorted(
        ("viewed", job_id, "clinic", 200) for job_id in dicom_jobs * 2
    )
    clerk.open(f"{link}&view=2")
    acts = audited(ledger, redis, clerk.reader)
    assert len(acts) == 5
    assert clerk.browser.open(f"/read/{dicom_jobs[0]}/pixels").status_code == 200
    assert audited(ledger, redis, clerk.reader) == acts, "the pixels belong to the opening"


def test_a_calibration_is_its_readers_and_ends_with_the_job(ada: Person, person_of, job: Job, ledger):
    put_reading(ledger, job)
    bob = person_of("Dr. Bob Bone")

    def shown(person: Person) -> dict:
        page = person.open(f"/read/{job.id}")
        return json.loads(re.search(r"data-scale='([^']*)'", page)[1])

    def calibrate(person: Person, status: int = 200, **form: object):
        form = {"mm": "25", "ends": "100, 100, 100, 300", "known": shown(person)["tag"]} | form
        answer = person.send(f"/read/{job.id}/calibration", JSON, **form)
        assert answer.status_code == status, answer.text
        return answer.json

    assert shown(ada)["info"] == {}
    told = calibrate(ada)
    rows, columns = ACQUISITION["pixel_spacing"]
    assert told["info"]["spacing_mm"] == pytest.approx([25 / 200, 25 / 200 * columns / rows])
    assert told["info"]["spacing_plane"] == "patient"
    assert shown(ada) == told
    assert "An object of 25 mm, marked by Dr. Ada Bone, 20" in ada.open(f"/read/{job.id}")
    assert shown(bob)["info"] == {}
    assert "Not calibrated by you." in bob.open(f"/read/{job.id}")
    stale = shown(bob)["tag"]
    assert calibrate(ada, 412, known=stale)["detail"].startswith("You have calibrated")
    for wrong in (
        {"mm": "0"},
        {"mm": "x"},
        {"mm": "nan"},
        {"mm": "1e9"},
        {"ends": "1,2,3"},
        {"ends": "nan,1,5,9"},
    ):
        calibrate(ada, 400, **wrong)
    for ends in ("1,1,2,2", "1,1,90,90,5", "-1,1,50,50", "1,1,9000,50", "", "1,1,50,50,60,60"):
        calibrate(ada, 400, ends=ends)
    assert calibrate(ada, mm="12,5")["info"]["calibration"]["mm"] == 12.5
    stranger = person_of("Dr. Eve Other", frozenset({"chest"}), "hospital")
    refused = stranger.send(f"/read/{job.id}/calibration", JSON, mm="25", ends="1,1,90,90", known=stale)
    assert refused.status_code == 404
    assert calibrate(ada, remove="1")["info"] == {}
    calibrate(bob)
    delete(job.id, ledger)
    assert not [key for key in ledger.objects.keys(f"jobs/{job.id}/") if "calibrations" in key]


STUDY_UID = "1.2.826.0.1.3680043.8.498.17"


@pytest.fixture
def dicom_jobs(app, ledger) -> list[str]:
    """The ids of two jobs of the clinic whose images are of one DICOM study."""
    key = Keys(ledger.records).create("clinic")
    made = []
    for value in (70, 90):
        data = dicom_of_a_study(np.full((40, 50), value, np.uint16), StudyInstanceUID=STUDY_UID)
        answer = app.test_client().post("/v1/jobs", data=data, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 202, answer.text
        made.append(answer.json["id"])
    return made


def test_a_framed_page_has_no_navigation_and_its_forms_stay_in_the_frame(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job)
    shown = ada.open(f"/read/{job.id}?embed=1")
    assert "A reading aid, not a diagnosis." in shown
    for absent in ("Worklist", "Sign out", 'rel="next"'):
        assert absent not in shown
        assert absent in ada.open(f"/read/{job.id}")
    led = ada.send(f"/read/readings/{reading.id}/claim?embed=1")
    assert led.headers["Location"] == f"/read/{job.id}?embed=1#report"
    forms = re.findall(r' (?:formaction|action|data-draft)="([^"]*)"', ada.open(f"/read/{job.id}?embed=1"))
    assert len(forms) > 4
    assert all(form.endswith("?embed=1") for form in forms)
    released = ada.send(f"/read/readings/{reading.id}/release?embed=1")
    assert released.headers["Location"] == f"/read/{job.id}?embed=1#report"
    lost = ada.open(f"/read/{new_id('job')}?embed=1", 404)
    assert "Worklist" not in lost


@pytest.fixture
def api_job(app, ledger) -> str:
    """The id of a job that the clinic submitted under an id of its own."""
    key = Keys(ledger.records).create("clinic")
    answer = app.test_client().put(
        "/v1/jobs/my-17", data=radiograph(), headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 202, answer.text
    return answer.json["id"]


def test_views_of_a_study_are_side_by_side_as_chosen(person_of, ledger):
    study, members = a_study(3)
    jobs = [put_job(ledger, id=job.id, study=study.id) for job in members]
    ledger.accept_study(study, [])
    clerk = person_of("Clerk", frozenset(), "clinic")
    page = clerk.open(f"/read/{study.id}")
    assert page.count("data-viewer ") == 2
    page = clerk.open(f"/read/{study.id}?view=1&view=3")
    assert f"/read/{jobs[2].id}/pixels" in page
    assert f"/read/{jobs[1].id}/pixels" not in page
    assert clerk.open(f"/read/{study.id}?view=%C2%B2&view=99").count("data-viewer ") == 2
    stranger = person_of("Other", frozenset(), "hospital")
    assert stranger.browser.open(f"/read/{study.id}").status_code == 404


def test_radiographs_are_sent_from_the_page(person_of, ledger, monkeypatch):
    clerk = person_of("Clerk", frozenset(), "clinic")

    def send(headers: dict, *files: tuple[bytes, str], **fields: str):
        images = [(BytesIO(data), name) for data, name in files]
        form = {"csrf": clerk.csrf, "image": images, **fields}
        return clerk.browser.open("/read/jobs", "POST", {"Origin": OWN} | headers, data=form)

    sent = send(JSON, (radiograph(), "a.png"), reference="hand 3", priority="stat", read="")
    assert sent.status_code == 201, sent.text
    job = ledger.current(sent.json["jobs"][0]["id"])
    assert (job.client, job.reference, job.priority, job.key) == ("clinic", "hand 3", "stat", clerk.reader.id)
    again = send(JSON, (radiograph(), "b.png"), reference="hand 3", priority="stat", read="")
    assert again.json == sent.json, "its answer may have been lost"
    with monkeypatch.context() as later:
        later.setattr("api.reading_room.upload.now", lambda: now() + timedelta(hours=2))
        anew = send(JSON, (radiograph(), "a.png"), reference="hand 3", priority="stat", read="")
        assert anew.json != sent.json, "hours later another one is meant"
    other = send(JSON, (radiograph(), "a.png"), reference="hand 4").json["jobs"][0]["id"]
    assert other != job.id
    ledger.append(ledger.read(other).canceled(now()))
    assert send(JSON, (radiograph(), "a.png"), reference="hand 4").json["jobs"][0]["id"] != other
    two = send({}, (radiograph(64, 48), "a.png"), (radiograph(48, 64), "b.png"))
    assert two.headers["Location"] == "/read"
    mixed = send({}, (radiograph(32, 48), "c.png"), (b"no picture at all", "d.txt"))
    assert mixed.status_code == 422
    assert "d.txt" in mixed.text
    assert "c.png" not in mixed.text
    assert len(list(ledger.of_client("clinic", None))) == 7
    assert send(JSON).status_code == 400
    many = send({}, *((radiograph(32, 48), f"{n}.png") for n in range(20)))
    assert many.status_code == 413
    assert "Send at most 12 files" in many.text
    assert len(list(ledger.of_client("clinic", None))) == 7, "none was taken"
    reader = person_of("Reader", frozenset({"msk"}))
    refused = reader.send("/read/jobs", JSON, image=[(BytesIO(radiograph()), "a.png")])
    assert refused.status_code == 403
    forged = clerk.browser.open("/read/jobs", "POST", JSON, data={"image": [(BytesIO(b"x"), "a")]})
    assert forged.json["type"] == "/problems/form-expired"


def test_the_upload_asks_whether_models_may_learn_unless_that_is_forbidden(person_of, ledger):
    Policies(ledger.records).put("hospital", ReadingPolicy(("msk",), training=False))
    clerk, other = (person_of("Clerk", frozenset(), client) for client in ("clinic", "hospital"))

    def sent(person: Person, status: int = 201, **fields: str) -> dict:
        image = [(BytesIO(radiograph()), "a.png")]
        answer = person.send("/read/jobs", JSON, image=image, **fields)
        assert answer.status_code == status, answer.text
        return answer.json

    def consent(person: Person, **fields: str) -> tuple[bool, str | None]:
        job_id = sent(person, **fields)["jobs"][0]["id"]
        given = Consents(ledger.records).of(ledger.current(job_id))
        return given.allowed, given.reference

    assert 'name="training_use" value="allowed">' in clerk.open("/read"), "it is not ticked"
    assert '<option value="routine" selected>' in clerk.open("/read"), "`archive` goes after all others"
    assert consent(clerk) == (False, None)
    assert consent(clerk, training_use="allowed") == (True, None)
    assert consent(clerk, training_use="allowed", consent_reference="c-118") == (True, "c-118")
    assert "Tick that they may" in sent(clerk, 400, consent_reference="c-118")["detail"]
    page = other.open("/read")
    assert "training_use" not in page
    assert "consent_reference" not in page
    assert sent(other, 422, training_use="allowed")["type"] == "/problems/training-forbidden"
    assert consent(other) == (False, None)


def test_measurements_in_the_form_are_kept_or_left_out_without_script(ada: Person, job: Job, ledger):
    reading = put_reading(ledger, job, Mode.ASSISTED)
    ada.act(reading, "claim")
    length = {"kind": "length", "points": [[0, 0], [300, 200]], "value": 50}
    angle = {"kind": "angle", "points": [[10, 0], [0, 0], [0, 10]]}

    def form(*measurements: object, **fields: str) -> dict:
        sent = [one if isinstance(one, str) else json.dumps(one) for one in measurements]
        return {"tag": ada.tag(job.id), "finding": "no_fracture", "measurement": sent, **fields}

    assert ada.act(reading, "draft", **form(length, angle)).status_code == 303
    page = ada.open(f"/read/{job.id}")
    assert "Length: 50.0 mm at detector" in page
    assert "Angle: 90.0°" in page
    kept = [unescape(value) for value in re.findall(r'name="measurement" value="([^"]+)" checked', page)]
    assert [json.loads(one) for one in kept] == [length, angle]
    for wrong in (length | {"value": 51}, {"kind": "area"}, {"points": 5}):
        refused = ada.act(reading, "sign", JSON, **form(wrong, code="1"))
        assert (refused.status_code, refused.json["field"]) == (422, "measurements"), refused.text
        assert "Not valid: leave it out" in ada.open(f"/read/{job.id}")
    for text in ("", "[", "7", "[" * 5000, '{"points": [[[[1]]]]}'):
        assert ada.act(reading, "draft", JSON, **form(text)).json["field"] == "measurements"
    assert ada.act(reading, "sign", **form(kept[0], code=ada.codes.next())).status_code == 303
    (signed,) = Readings(ledger).read(reading.id).reports
    assert signed["report"]["measurements"] == [length | {"unit": "mm", "plane": "detector"}]
    assert "<li>Length: 50.0 mm at detector</li>" in ada.open(f"/read/{job.id}")
    amended = form(length, angle, code=ada.codes.next(), reason="The angle, too.")
    assert ada.act(reading, "amend", **amended).status_code == 303
    later = Readings(ledger).read(reading.id).reports
    assert [len(one["report"]["measurements"]) for one in later] == [1, 2]


def test_events_tell_of_a_new_reading_and_carry_nothing_of_it(ada: Person, job: Job, ledger):
    stream = ada.browser.open("/read/events", headers={"Accept": "text/event-stream"}, buffered=False)
    pieces = stream.response
    assert next(pieces) in (b"event: changed\ndata: {}\n\n", "event: changed\ndata: {}\n\n")
    put_reading(ledger, job)
    assert "changed" in str(next(pieces))
    stream.close()


def test_pixels_and_preview_are_those_of_the_radiograph(ada: Person, job: Job, ledger):
    put_reading(ledger, job)
    pixels = ada.browser.open(f"/read/{job.id}/pixels", headers={"Accept-Encoding": "identity"})
    facts = json.loads(pixels.headers["Osteo-Pixels"])
    assert (facts["columns"], facts["rows"]) == (480, 400)
    assert len(pixels.data) == 480 * 400 * 2
    assert ada.browser.open(f"/read/{job.id}/preview.jpg").data[:2] == b"\xff\xd8"
