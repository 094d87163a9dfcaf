from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from admin.keys import Keys
from api.http.problem_kinds import KINDS
from osteo_client import (
    CallbackRefused,
    ImageRefused,
    JobFailed,
    Malformed,
    NoSuchJob,
    NotEnded,
    NotTheService,
    Unauthorized,
)
from osteo_client.errors import BY_STATUS, BY_TYPE
from tests import pictures
from tests.api.conftest import MAX_BYTES, Api
from tests.client.conftest import PNG, RESULT, Door, Worker


def test_an_xray_is_submitted_with_its_fields(client: Any, worker: Worker):
    handle = client.submit(PNG, reference="R 1", priority="stat", metadata={"ward": 7})
    job = handle.job
    assert (job.state, job.ended, job.reference, job.priority) == ("queued", False, "R 1", "stat")
    assert (job.metadata, job.result, job.error) == ({"ward": 7}, None, None)
    assert worker.ledger.image(worker.job(handle.id)) == PNG


def test_a_file_is_submitted_by_its_path_and_its_name_is_not_sent(
    connect: Callable[..., Any], api: Api, door: Door, tmp_path: Path, worker: Worker
):
    file = tmp_path / "Doe^Jane-1970.png"
    file.write_bytes(PNG)
    handle = connect(door.url, api.key).submit(file)
    assert worker.ledger.image(worker.job(handle.id)) == PNG
    assert b"Doe" not in door.seen[0].body


def test_waiting_ends_when_the_job_does(client: Any, worker: Worker):
    handle = client.submit(PNG)
    ending = Thread(target=worker.succeed, args=[handle.id])
    ending.start()
    job = handle.wait()
    ending.join()
    assert (job.state, job.ended, job.attempts) == ("succeeded", True, 1)
    assert handle.job == job


def test_a_result_is_typed_and_whole(client: Any, worker: Worker):
    handle = client.submit(PNG)
    worker.succeed(handle.id)
    result = handle.result()
    assert (result.finding, result.probability, result.model) == ("fracture", 0.9, "osteo-test 1")
    assert [(region.box, region.score) for region in result.regions] == [((1, 2, 3, 4), 0.8)]
    assert result.document == RESULT
    assert handle.heatmap().startswith(b"\x89PNG")


@pytest.mark.parametrize("what", ["result", "heatmap"])
def test_a_job_that_failed_says_why_it_has_none(client: Any, worker: Worker, what: str):
    handle = client.submit(PNG)
    worker.fail(handle.id)
    with pytest.raises(JobFailed, match="It is a photograph") as caught:
        getattr(handle, what)()
    assert caught.value.job.error.type == "not-a-radiograph"
    assert handle.wait().state == "failed"


def test_waiting_ends_at_its_time_and_the_job_goes_on(client: Any, worker: Worker):
    handle = client.submit(PNG)
    with pytest.raises(NotEnded, match="queued"):
        handle.wait(timeout=0.3)
    worker.succeed(handle.id)
    assert handle.refresh().state == "succeeded"


def test_a_job_is_found_again_by_its_id(client: Any):
    handle = client.submit(PNG, reference="R 2")
    assert client.job(handle.id).job.reference == "R 2"


def test_jobs_are_listed_across_pages_and_by_state(connect: Callable[..., Any], api: Api, worker: Worker):
    client = connect(api.url, Keys(api.records).create("lister"))
    before = [handle.id for handle in client.jobs()]
    # A page has 50.
    ids = [client.submit(PNG).id for _ in range(max(2, 51 - len(before)))]
    worker.succeed(ids[0])
    assert [handle.id for handle in client.jobs()] == ids[::-1] + before
    assert ids[0] in [handle.id for handle in client.jobs("succeeded")]
    assert ids[0] not in [handle.id for handle in client.jobs("queued")]


@pytest.mark.parametrize(
    ("image", "fields", "error", "type_"),
    [
        (b"no picture", {}, ImageRefused, "unsupported-image"),
        (pictures.truncated_jpeg(), {}, ImageRefused, "broken-image"),
        (bytes(MAX_BYTES + 1), {}, ImageRefused, "image-too-large"),
        (PNG, {"callback_url": "http://10.0.0.1/"}, CallbackRefused, "callback-refused"),
        (PNG, {"priority": "soon"}, Malformed, "malformed"),
    ],
)
def test_a_refused_submission_raises_by_its_problem_type(
    client: Any, image: bytes, fields: dict[str, Any], error: type[Exception], type_: str
):
    with pytest.raises(error) as caught:
        client.submit(image, **fields)
    problem = caught.value
    assert (problem.type, type(problem)) == (type_, error)
    assert problem.detail in str(problem)
    assert problem.status in (400, 413, 415, 422)


def test_a_wrong_key_and_an_unknown_job_are_told_apart(connect: Callable[..., Any], client: Any, api: Api):
    with pytest.raises(Unauthorized):
        connect(api.url, "wrong").submit(PNG)
    with pytest.raises(NoSuchJob):
        client.job("job_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    with pytest.raises(NoSuchJob):
        client.job("../health/live?")


def test_an_address_of_another_server_is_not_the_service(connect: Callable[..., Any], door: Door):
    door.treat = lambda n: (200, {"Content-Type": "text/html"}, b"<p>Welcome to this hotel's network")
    with pytest.raises(NotTheService, match="is the address right"):
        connect(door.url, "key").submit(PNG)
    door.treat = lambda n: (200, {"Content-Type": "application/json"}, b'{"hello": "world"}')
    with pytest.raises(NotTheService, match="is the address right"):
        connect(door.url, "key").submit(PNG)
    with pytest.raises(ValueError, match="https://"):
        connect("osteo.example", "key")


def test_every_problem_type_of_the_api_has_an_exception():
    statuses = {str(slug): kind.status for slug, kind in KINDS.items()}
    without = {slug for slug, status in statuses.items() if slug not in BY_TYPE and status not in BY_STATUS}
    # Nothing that a caller could do about it, or of routes that this client does not call.
    without -= {"internal-error", "object-missing", "job-failed", "nothing-to-deliver", "not-acceptable"}
    without -= {"method-not-allowed", "draft-changed", "reading-claimed", "report-invalid"}
    assert not without, "give these an exception in client/osteo_client/errors.py"
