"""Tests the lines that a real gunicorn writes into the access log of the API."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from api.identity.key import id_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from jobs.record.job import now
from tests.api.conftest import Api
from tests.api.routes.test_jobs import PNG

NAMES = (
    *("time", "client", "key", "reader", "request", "address"),
    *("method", "path", "status", "bytes", "seconds"),
)


def test_the_line_of_a_submission_names_client_key_and_request(api: Api):
    sent = now()
    headers = {
        "X-Request-ID": "from-the-client-8",
        "User-Agent": "Jane Doe",
        "Referer": "https://jane.example",
    }
    query = f"reference={quote('Jane Doe')}"
    answer = api.request("POST", f"/v1/jobs?{query}", body=PNG, headers=headers)
    line = api.accessed(answer)
    assert tuple(line) == NAMES
    assert (line["client"], line["key"], line["request"]) == ("clinic", id_of(api.key), "from-the-client-8")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/jobs", 202)
    assert (line["address"], line["bytes"]) == ("127.0.0.1", len(answer.data))
    assert timedelta(0) < timedelta(seconds=line["seconds"]) <= now() - sent
    assert line["time"].endswith("Z")
    assert sent <= datetime.fromisoformat(line["time"]).astimezone(UTC) <= now()
    assert "jane" not in str(line).lower()


def test_the_line_of_a_request_without_a_valid_key_names_no_client(api: Api):
    for key in ("", "osteo_" + "A" * 43):
        line = api.accessed(api.request("GET", "/v1/jobs", key=key))
        assert (line["client"], line["key"], line["status"]) == (None, None, 401)
        assert line["request"].startswith("req_")
        assert "AAA" not in str(line)


def test_the_line_of_a_refused_submission_names_its_client(api: Api):
    key = Keys(api.records).create("reader", [Scope.READ])
    line = api.accessed(api.request("POST", "/v1/jobs", key=key, body=PNG))
    assert (line["client"], line["key"], line["status"]) == ("reader", id_of(key), 403)


def test_a_client_cannot_name_itself_in_the_access_log(api: Api):
    headers = {"api.client": "another", "client": "another"}
    assert api.accessed(api.request("GET", "/v1/jobs", key="", headers=headers))["client"] is None


def test_the_line_of_a_job_with_an_own_id_hides_the_id(api: Api):
    answer = api.request("PUT", "/v1/jobs/DOE-4712", fields={"image": ("x.png", PNG)})
    line = api.accessed(answer)
    assert (line["path"], line["status"]) == ("/v1/jobs/-", 202)
    assert "DOE-4712" not in api.log.read_text()


def test_a_path_with_a_line_break_writes_one_line_of_json(api: Api):
    line = api.accessed(api.request("GET", "/v1/%0A%7B%22level%22:%22FORGED%22%7D"))
    assert line["path"] == "/v1/%0A%7B%22level%22%3A%22FORGED%22%7D"
    assert line["status"] == 404
    assert not any(text.startswith('{"level":"FORGED') for text in api.log.read_text().splitlines())
