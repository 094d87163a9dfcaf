"""Readings over HTTP: request, claim, blind finding, signature, amendment, return, and who may see what."""

import json
from base64 import urlsafe_b64decode

import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from api.identity.key_store import Keys
from api.readings.signature import digest_of
from jobs.lifecycle.next_step import start_next_step
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readers import Readers
from jobs.reading.readings import Readings, reading_id_of
from jobs.reading.states import Wish
from jobs.record.job import Job, now
from jobs.redis.queue import JobQueue
from tests.api.conftest import RESULT, Api, problem_of
from tests.api.readings.codes import Codes
from tests.api.routes.test_jobs import PNG
from tests.conftest import a_study

URL = "https://clinic.example/hook"
GROUPS = frozenset({"bones"})
REPORT = {"finding": "no_fracture", "sites": [], "text": "Intact.", "urgent": False, "advice": ""}


class Person:
    """A reader at the API."""

    def __init__(
        self, api: Api, name: str, groups: frozenset[str] = GROUPS, client: str | None = None
    ) -> None:
        self.api = api
        self.key, self.reader = Readers(api.records, 0).create(name, groups, client)
        self.codes = Codes(self.reader)

    def ask(self, method: str, path: str, body: dict | None = None, **headers: str):
        given = {"body": json.dumps(body), "headers": headers | {"Content-Type": "application/json"}}
        return self.api.request(
            method, path, key=self.key, **(given if body is not None else {"headers": headers})
        )

    def code(self) -> str:
        """Return a code that was not used."""
        return self.codes.next()


def analysed(api: Api, **fields: str) -> Job:
    """A job with a result, as its client submitted it."""
    job = api.ledger.read(api.submit(PNG, **fields).json()["id"])
    return api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))


def requested(api: Api, job: Job) -> dict:
    answer = api.request("POST", f"/v1/jobs/{job.id}/readings")
    assert answer.status == 201, answer.data
    return answer.json()


def test_a_reading_goes_from_the_submission_to_a_signed_report(api: Api, policy):
    job = analysed(api, read="requested", question="Scaphoid?", due_seconds="600", callback_url=URL)
    ada = Person(api, "Ada Bone")
    all_waiting = ada.ask("GET", "/v1/readings").json()["readings"]
    (waiting,) = [one for one in all_waiting if one["job"] == job.id]
    assert (waiting["question"], waiting["state"], waiting["job"]) == ("Scaphoid?", "requested", job.id)
    here = f"/v1/readings/{waiting['id']}"
    assert ada.ask("POST", f"{here}/claim").json()["reader_name"] == "Ada Bone"
    early = ada.ask("POST", f"{here}/sign", {"report": REPORT, "code": ada.code()})
    assert problem_of(early)["type"] == "/problems/reading-moved"
    committed = ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"}).json()
    assert committed["committed"]["blind"] is True
    assert committed["disagreement"]["kind"] == "overcalled"
    assert api.request("GET", here).json()["committed"] is None, "not before the signature"
    signed = ada.ask("POST", f"{here}/sign", {"report": REPORT, "code": ada.code(), "grade": "2a"}).json()
    assert signed["state"] == "signed"
    seen = api.request("GET", here).json()
    assert seen["report"] == REPORT
    assert seen["disagreement"] == {"kind": "overcalled", "grade": "2a"}
    keys = KeySet.import_key_set(api.request("GET", "/.well-known/jwks.json", key="").json())
    claims = json.loads(
        jws.deserialize_compact(seen["reports"][0]["jws"], keys, algorithms=["Ed25519"]).payload
    )
    assert claims["report_sha256"] == digest_of(REPORT)
    assert (claims["image_sha256"], claims["reader_name"]) == (job.image.sha256, "Ada Bone")
    assert [entry["type"] for entry in seen["history"]] == ["requested", "claimed", "committed", "signed"]


def test_a_signed_report_is_amended_and_its_first_version_stays(api: Api, policy):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"})
    ada.ask("POST", f"{here}/sign", {"report": REPORT, "code": ada.code()})
    later = REPORT | {"finding": "fracture", "sites": [{"box": [1, 2, 3, 4]}]}
    amended = ada.ask(
        "POST", f"{here}/amend", {"report": later, "code": ada.code(), "reason": "Seen at a second look."}
    )
    assert amended.json()["state"] == "amended"
    assert [one["report"]["finding"] for one in amended.json()["reports"]] == ["no_fracture", "fracture"]
    bob = Person(api, "Bob Bone")
    other = bob.ask("POST", f"{here}/amend", {"report": later, "code": bob.code(), "reason": "No."})
    assert problem_of(other)["status"] == 409


def test_measurements_are_drafted_committed_signed_and_amended_by_version(api: Api, policy):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    tag = ada.ask("POST", f"{here}/claim").headers["ETag"]
    length = {"kind": "length", "points": [[1, 2], [4, 6.5]]}
    ball = {"mm": 10, "ends": [[0, 0], [20, 0]]}
    draft = REPORT | {"measurements": [length]}
    saved = ada.ask("PUT", f"{here}/draft", {"draft": draft}, **{"If-Match": tag}).json()
    assert saved["draft"] == draft
    pixels = length | {"value": 5, "unit": "{pixels}", "plane": None}
    scaled = length | {"calibration": ball, "value": 2.7, "unit": "mm", "plane": "calibrated"}
    committed = ada.ask("POST", f"{here}/commit", {"finding": "no_fracture", "measurements": [length]})
    assert committed.json()["committed"]["measurements"] == [pixels]
    given = REPORT | {"measurements": [length, length | {"calibration": ball}]}
    signed = ada.ask("POST", f"{here}/sign", {"report": given, "code": ada.code()}).json()
    assert signed["report"]["measurements"] == [pixels, scaled]
    payload = signed["reports"][0]["jws"].split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["report_sha256"] == digest_of(REPORT | {"measurements": [pixels, scaled]})
    assert claims["report_sha256"] != digest_of(REPORT)
    later = {"report": signed["report"] | {"measurements": [scaled]}, "reason": "No scale."}
    amended = ada.ask("POST", f"{here}/amend", later | {"code": ada.code()}).json()
    versions = [one["report"]["measurements"] for one in amended["reports"]]
    assert versions == [[pixels, scaled], [scaled]]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"value": 7}, 422),
        ({"points": [[1, 2], [4, 1e6]]}, 422),
        ({"points": [[1, 2]]}, 400),
        ({"kind": "area"}, 400),
        ({"calibration": {"mm": 0, "ends": [[0, 0], [20, 0]]}}, 400),
    ],
)
def test_a_measurement_that_is_wrong_is_not_signed(api: Api, policy, wrong: dict, status: int):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    measurement = {"kind": "length", "points": [[1, 2], [4, 6.5]]} | wrong
    report = {"finding": "no_fracture", "measurements": [measurement]}
    assert problem_of(ada.ask("POST", f"{here}/commit", report))["status"] == status
    many = {"finding": "no_fracture", "measurements": [{"kind": "length", "points": [[1, 2], [4, 6]]}] * 21}
    assert problem_of(ada.ask("POST", f"{here}/commit", many))["status"] == 400


def test_a_second_reader_learns_who_has_the_reading(api: Api, policy):
    reading, ada, bob = requested(api, analysed(api)), Person(api, "Ada Bone"), Person(api, "Bob Bone")
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    for act in ("claim", "release"):
        refused = problem_of(bob.ask("POST", f"{here}/{act}"))
        assert (refused["type"], refused["reader_name"]) == ("/problems/reading-claimed", "Ada Bone")
        assert refused["claimed_at"]
    assert ada.ask("POST", f"{here}/release").json()["state"] == "requested"
    assert bob.ask("POST", f"{here}/claim").json()["reader_name"] == "Bob Bone"


def test_a_draft_over_a_newer_one_is_refused(api: Api, policy):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    tag = ada.ask("POST", f"{here}/claim").headers["ETag"]
    draft = {"draft": {"text": "Intact"}}
    saved = ada.ask("PUT", f"{here}/draft", draft, **{"If-Match": tag})
    assert saved.json()["draft"] == {"text": "Intact"}
    assert problem_of(ada.ask("PUT", f"{here}/draft", draft, **{"If-Match": tag}))["status"] == 412
    assert problem_of(ada.ask("PUT", f"{here}/draft", draft))["status"] == 400
    assert "draft" not in api.request("GET", here).json()


def test_a_one_time_code_counts_once(api: Api, policy):
    ada, code = Person(api, "Ada Bone"), None
    for _ in range(2):
        here = f"/v1/readings/{requested(api, analysed(api))['id']}"
        ada.ask("POST", f"{here}/claim")
        ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"})
        first, code = code is None, code or ada.code()
        answer = ada.ask("POST", f"{here}/sign", {"report": REPORT, "code": code})
        assert answer.status == (200 if first else 403)
    assert problem_of(answer)["type"] == "/problems/code-refused"


def test_readers_of_another_group_and_other_clients_find_nothing(api: Api, policy):
    reading = requested(api, analysed(api))
    stranger = Person(api, "Eve Chest", frozenset({"chests"}))
    assert stranger.ask("GET", "/v1/readings").json() == {"readings": []}
    for method, act in (("GET", ""), ("POST", "/claim"), ("POST", "/release")):
        refused = stranger.ask(method, f"/v1/readings/{reading['id']}{act}")
        assert problem_of(refused)["type"] == "/problems/no-such-reading"
    mine = problem_of(api.request("POST", f"/v1/readings/{reading['id']}/claim"))
    assert (mine["status"], mine["scope"]) == (403, "reader")


def test_a_job_has_one_open_reading_and_a_client_may_cancel_it(api: Api, policy):
    job = analysed(api)
    first = requested(api, job)
    again = api.request("POST", f"/v1/jobs/{job.id}/readings")
    assert (again.status, again.json()["id"]) == (200, first["id"])
    assert api.request("POST", f"/v1/readings/{first['id']}/cancel").json()["state"] == "canceled"
    assert problem_of(api.request("POST", f"/v1/readings/{first['id']}/cancel"))["status"] == 409
    assert requested(api, job)["id"] != first["id"]
    assert len(api.request("GET", f"/v1/jobs/{job.id}/readings").json()["readings"]) == 2


def test_a_returned_reading_says_why(api: Api, policy):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    ada.ask("POST", f"{here}/return", {"reason": "other_view", "text": "A lateral view, please."})
    seen = api.request("GET", here).json()
    assert (seen["state"], seen["returned"]["reason"]) == ("returned", "other_view")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (REPORT | {"finding": "fracture", "sites": [{"box": [0, 0, 9000, 5]}]}, "lies in the image"),
        (REPORT | {"finding": "fracture", "sites": [{"bone": "ulna"}]}, "either a `box` or a `point`"),
        (REPORT | {"sites": [{"point": [1, 1]}]}, "has sites where its finding"),
    ],
)
def test_a_report_that_cannot_be_is_refused_with_what_to_correct(api: Api, policy, report, said):
    reading, ada = requested(api, analysed(api)), Person(api, "Ada Bone")
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"})
    refused = problem_of(ada.ask("POST", f"{here}/sign", {"report": report, "code": ada.code()}))
    assert refused["status"] == 422
    assert said in refused["detail"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"read": "always"}, 400),
        ({"question": "Why?"}, 400),
        ({"read": "requested", "due_seconds": "5"}, 400),
        ({"read": "requested", "question": "x" * 501}, 400),
        ({"training_use": "perhaps"}, 400),
    ],
)
def test_a_malformed_wish_for_a_reading_is_refused(api: Api, policy, fields, status):
    assert problem_of(api.submit(PNG, **fields))["status"] == status


def test_a_client_without_readers_is_told_so(api: Api):
    other = Keys(api.records).create("unread")
    answer = api.request("POST", "/v1/jobs", key=other, fields={"image": ("x.png", PNG), "read": "requested"})
    assert problem_of(answer)["type"] == "/problems/not-read"


def test_another_readers_report_is_hidden_while_a_blind_reading_is_open(api: Api, policy):
    job, ada, bob = analysed(api), Person(api, "Ada Bone"), Person(api, "Bob Bone")
    first = f"/v1/readings/{requested(api, job)['id']}"
    ada.ask("POST", f"{first}/claim")
    ada.ask("POST", f"{first}/commit", {"finding": "no_fracture"})
    ada.ask("POST", f"{first}/sign", {"report": REPORT, "code": ada.code()})
    second = f"/v1/readings/{requested(api, job)['id']}"
    hidden = bob.ask("GET", first).json()
    assert (hidden["report"], hidden["reports"], hidden["disagreement"], hidden["committed"]) == (
        None,
        [],
        None,
        None,
    )
    bob.ask("POST", f"{second}/claim")
    bob.ask("POST", f"{second}/commit", {"finding": "fracture"})
    assert bob.ask("GET", first).json()["report"] == REPORT


def test_a_reading_that_the_answer_gave_rise_to_is_not_blind(api: Api, policy, servers):
    job, ada = api.ledger.read(api.submit(PNG, read="if_positive").json()["id"]), Person(api, "Ada Bone")
    ended = api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    start_next_step(ended, api.ledger, JobQueue.connect(servers.redis_url))
    (reading,) = api.request("GET", f"/v1/jobs/{job.id}/readings").json()["readings"]
    assert reading["wish"] == "if_positive"
    here = f"/v1/readings/{reading['id']}"
    ada.ask("POST", f"{here}/claim")
    assert ada.ask("POST", f"{here}/commit", {"finding": "fracture"}).json()["committed"]["blind"] is False


def test_a_canceled_reading_leaves_the_one_that_the_answer_calls_for(api, policy, servers):
    job = api.ledger.read(api.submit(PNG, read="if_positive").json()["id"])
    own = requested(api, job)
    api.request("POST", f"/v1/readings/{own['id']}/cancel")
    ended = api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    for _ in range(2):
        start_next_step(ended, api.ledger, JobQueue.connect(servers.redis_url))
    listed = api.request("GET", f"/v1/jobs/{job.id}/readings").json()["readings"]
    assert [(one["state"], one["wish"]) for one in listed] == [
        ("canceled", "requested"),
        ("requested", "if_positive"),
    ]


def test_a_request_at_the_end_of_a_job_and_its_answer_make_one_reading(api: Api, policy, servers):
    job = api.ledger.read(api.submit(PNG, read="if_positive").json()["id"])
    ended = api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    own = requested(api, ended)
    assert own["id"] == reading_id_of(job), "the id that a worker uses at the same time"
    start_next_step(ended, api.ledger, JobQueue.connect(servers.redis_url))
    assert len(api.request("GET", f"/v1/jobs/{job.id}/readings").json()["readings"]) == 1


def test_a_reading_that_is_open_is_enough_for_the_answer(api: Api, policy, servers):
    job = api.ledger.read(api.submit(PNG, read="if_positive").json()["id"])
    own = requested(api, job)
    ended = api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    start_next_step(ended, api.ledger, JobQueue.connect(servers.redis_url))
    (reading,) = api.request("GET", f"/v1/jobs/{job.id}/readings").json()["readings"]
    assert reading["id"] == own["id"]


def test_a_finding_is_compared_with_an_answer_that_comes_later(api: Api, policy):
    job, ada = api.ledger.read(api.submit(PNG).json()["id"]), Person(api, "Ada Bone")
    here = f"/v1/readings/{requested(api, job)['id']}"
    ada.ask("POST", f"{here}/claim")
    committed = ada.ask("POST", f"{here}/commit", {"finding": "no_fracture"}).json()
    assert committed["disagreement"]["kind"] == "not_comparable"
    assert not Readings(api.ledger).has_seen(job.id, ada.reader.id), "there was no answer"
    api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    assert ada.ask("GET", here).json()["disagreement"]["kind"] == "overcalled"


def test_a_reading_of_a_view_is_told_to_the_url_of_its_study(api: Api, policy):
    study, (view, _) = a_study(2, size=len(PNG), callback_url=URL)
    api.ledger.accept_study(study, ((one, PNG) for one in (view, _)))
    assert view.callback_url is None
    reading = requested(api, view)
    assert Readings(api.ledger).read(reading["id"]).callback_url == URL


def test_an_arbitration_is_not_told_to_a_reader_who_is_to_read_blind(api: Api, policy):
    study, views = a_study(2, size=len(PNG))
    api.ledger.accept_study(study, ((view, PNG) for view in views))
    for view in views:
        api.ledger.append(api.ledger.append(view.started("w", now())).succeeded(RESULT, now()))
    ada, bob = Person(api, "Ada Bone"), Person(api, "Bob Bone")
    first, second = (requested(api, view)["id"] for view in views)
    for reading in (first, second):
        ada.ask("POST", f"/v1/readings/{reading}/claim")
        ada.ask("POST", f"/v1/readings/{reading}/commit", {"finding": "no_fracture"})
    ada.ask("POST", f"/v1/readings/{first}/sign", {"report": REPORT, "code": ada.code(), "grade": "3a"})
    ada.ask("POST", f"/v1/readings/{second}/release")

    def arbitrates(reader: Person) -> list[str | None]:
        listed = reader.ask("GET", "/v1/readings").json()["readings"]
        return [one["arbitrates"] for one in listed if one["job"] == views[0].id]

    assert arbitrates(bob) == [None]
    (arbitration,) = (one for one in Readings(api.ledger).of_job(views[0].id) if one.arbitrates)
    fhir = bob.ask("GET", f"/v1/readings/{arbitration.id}", Accept="application/fhir+json").data
    assert b"reasonReference" not in fhir
    bob.ask("POST", f"/v1/readings/{second}/claim")
    bob.ask("POST", f"/v1/readings/{second}/commit", {"finding": "no_fracture"})
    assert arbitrates(bob) == [first]


def test_a_reader_who_can_send_the_radiograph_again_is_not_blind(api: Api, policy):
    for client, blind in ((None, True), ("clinic-b", False)):
        reading, reader = requested(api, analysed(api)), Person(api, "Cleo Bone", client=client)
        here = f"/v1/readings/{reading['id']}"
        reader.ask("POST", f"{here}/claim")
        committed = reader.ask("POST", f"{here}/commit", {"finding": "fracture"}).json()["committed"]
        assert committed["blind"] is blind


def test_the_views_of_a_study_are_blind_together(api: Api, policy):
    study, views = a_study(2, size=len(PNG))
    api.ledger.accept_study(study, ((view, PNG) for view in views))
    for view in views:
        api.ledger.append(api.ledger.append(view.started("w", now())).succeeded(RESULT, now()))
    first, second = (requested(api, view)["id"] for view in views)
    ada = Person(api, "Ada Bone")
    for reading in (first, second):
        ada.ask("POST", f"/v1/readings/{reading}/claim")
    committed = ada.ask("POST", f"/v1/readings/{first}/commit", {"finding": "fracture"}).json()
    assert committed["disagreement"] is None, "it would tell the answer to the other view"
    again = ada.ask("POST", f"/v1/readings/{second}/commit", {"finding": "fracture"}).json()
    assert again["committed"]["blind"] is True
    assert again["disagreement"]["kind"] == "none"
    later = ada.ask("GET", f"/v1/readings/{first}").json()
    assert later["disagreement"]["kind"] == "none", "no blind finding is due any more"


def test_a_repetition_outlives_a_change_of_the_policy(api: Api, policy):
    key = {"Idempotency-Key": "visit-29"}
    fields = {"image": ("x.png", PNG)}
    first = api.request("POST", "/v1/jobs", fields=fields, headers=key)
    Policies(api.records).put("clinic", ReadingPolicy(("bones",), wish=Wish.REQUESTED))
    again = api.request("POST", "/v1/jobs", fields=fields, headers=key)
    assert (again.status, again.json()["id"]) == (202, first.json()["id"])


def test_a_refused_wish_leaves_its_idempotency_key_free(api: Api):
    key = {"Idempotency-Key": "visit-30"}
    unread = Keys(api.records).create("unread")
    wish = {"image": ("x.png", PNG), "read": "requested"}
    refused = api.request("POST", "/v1/jobs", key=unread, headers=key, fields=wish)
    assert problem_of(refused)["type"] == "/problems/not-read"
    del wish["read"]
    assert api.request("POST", "/v1/jobs", key=unread, headers=key, fields=wish).status == 202
