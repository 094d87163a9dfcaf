"""Tests which pages of other origins may use the API: those that the operator names."""

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


def test_no_origin_may_use_the_api_unless_the_operator_names_it(settings, ledger, queue):
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
def test_an_origin_that_is_not_named_is_refused(portal, origin):
    for answer in (
        portal.options("/v1/jobs", headers=PREFLIGHT | {"Origin": origin}),
        portal.get("/v1/jobs", headers={"Origin": origin}),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers["Vary"]


def test_a_preflight_needs_no_key_and_discloses_nothing(portal):
    del portal.environ_base["HTTP_AUTHORIZATION"]
    assert portal.options("/v1/jobs", headers=PREFLIGHT).data == b""
    assert portal.get("/v1/jobs", headers=PREFLIGHT).status_code == 401


@pytest.mark.parametrize("text", ["*", "portal.example.org", "https://portal.example.org/", "null"])
def test_a_malformed_list_of_origins_is_refused_by_the_name_of_the_setting(text):
    with pytest.raises(SettingsError, match="OSTEO_CORS_ORIGINS"):
        Settings.from_environment({"OSTEO_SIGNING_KEY": "k" * 32, "OSTEO_CORS_ORIGINS": text})
