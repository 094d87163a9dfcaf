"""Pages of other origins: none may use the API from a browser, unless the operator names them."""

from dataclasses import replace

import pytest

from admin.keys import Keys
from jobs.settings import Settings, SettingsError
from tests.api.test_parts_down import PNG, client_of

PORTAL = "https://portal.example.org"
PREFLIGHT = {"Origin": PORTAL, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def portal(settings, ledger, queue):
    return client_of(replace(settings, cors_origins=frozenset({PORTAL})), ledger, queue, Keys(ledger.records))


def test_no_origin_is_let_in_unless_it_is_set(settings, ledger, queue):
    client = client_of(settings, ledger, queue, Keys(ledger.records))
    for answer in (
        client.options("/v1/jobs", headers=PREFLIGHT),
        client.get("/v1/jobs", headers={"Origin": PORTAL}),
    ):
        assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


def test_a_named_origin_may_ask_first_and_then_submit(portal):
    key = portal.environ_base.pop("HTTP_AUTHORIZATION")
    asked = portal.options("/v1/jobs", headers=PREFLIGHT)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, PORTAL)
    assert {"GET", "POST"} <= set(asked.headers["Access-Control-Allow-Methods"].split(", "))
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    headers = {"Origin": PORTAL, "Authorization": key}
    answer = portal.post("/v1/jobs", data=PNG, content_type="image/png", headers=headers)
    assert answer.status_code == 202
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://portal.example.org.evil.example", "http://portal.example.org", "null"]
)
def test_another_origin_is_not_let_in(portal, origin):
    for answer in (
        portal.options("/v1/jobs", headers=PREFLIGHT | {"Origin": origin}),
        portal.get("/v1/jobs", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_a_preflight_discloses_nothing_and_needs_no_key_but_nothing_else_does_without(portal):
    del portal.environ_base["HTTP_AUTHORIZATION"]
    assert portal.options("/v1/jobs", headers=PREFLIGHT).data == b""
    assert portal.get("/v1/jobs", headers=PREFLIGHT).status_code == 401


@pytest.mark.parametrize("text", ["*", "portal.example.org", "https://portal.example.org/", "null"])
def test_a_setting_that_is_no_list_of_origins_is_named(text):
    with pytest.raises(SettingsError, match="OSTEO_CORS_ORIGINS"):
        Settings.from_environment({"OSTEO_SIGNING_KEY": "k" * 32, "OSTEO_CORS_ORIGINS": text})
