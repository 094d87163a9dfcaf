"""Links to the page of a scene: what one opens, when it ends, and where its token must not be."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3

from api.ar.scene_links import SceneLink, SceneLinks
from api.identity.key import id_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from jobs.record.job import Job, moment_text, now
from jobs.store.audit import Audit
from tests.api.ar.conftest import link, radiograph, succeeded
from tests.api.ar.test_routes import GLB, PNG, USDZ, said
from tests.api.conftest import Api, problem_of, serving
from tests.conftest import SIGNING_KEY, Servers

NO_KEY = {"Authorization": "", "Accept": "*/*"}
PARTS = ("", "/scene.glb", "/scene.usdz", "/targets")


@pytest.fixture
def job(api: Api) -> Job:
    return succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))


def opened(api: Api, path: str, part: str = "", **headers: str) -> urllib3.BaseHTTPResponse:
    """Open a link, or a part of its page, without a key."""
    page, _, token = path.partition("?t=")
    return api.request("GET", f"{page}{part}?t={token}", headers=NO_KEY | headers)


def token_of(api: Api, job: Job, signing_key: str = SIGNING_KEY, **changed: Any) -> str:
    made = SceneLink(job.id, id_of(api.key), None, now() + timedelta(minutes=15))
    return SceneLinks(signing_key).token(replace(made, **changed))


def test_a_link_opens_page_files_and_targets_of_its_job(api: Api, job: Job):
    made = api.request("POST", f"/v1/jobs/{job.id}/ar/link")
    document = made.json()
    assert document["url"].startswith(f"https://osteo.example/ar/{job.id}?t=")
    assert moment_text(now()) < document["expires_at"] <= moment_text(now() + timedelta(minutes=15))
    assert made.headers["Cache-Control"] == "no-store"
    path = document["url"].removeprefix("https://osteo.example")
    kinds = {part: opened(api, path, part).headers["Content-Type"] for part in PARTS}
    assert kinds == {
        "": "text/html; charset=utf-8",
        "/scene.glb": GLB,
        "/scene.usdz": USDZ,
        "/targets": "application/json",
    }
    assert opened(api, path, "/targets").json()["job"] == job.id
    assert said(opened(api, path, "/scene.glb"))["job"] == job.id


def test_a_link_opens_nothing_else(api: Api, job: Job):
    other, path = succeeded(api, radiograph(ImagerPixelSpacing=[0.3, 0.3])), link(api, job)
    token = path.partition("?t=")[2]
    for part in PARTS:
        answer = opened(api, f"/ar/{other.id}?t={token}", part)
        assert problem_of(answer)["type"] == "/problems/no-such-job", part
    assert opened(api, path, "/scene.zip").status == 404
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert api.request(method, path, headers=NO_KEY).status == 405
    for route in (f"/v1/jobs/{job.id}", f"/v1/jobs/{job.id}/image", f"/v1/jobs/{job.id}/ar", "/v1/jobs"):
        assert api.request("GET", f"{route}?t={token}", headers=NO_KEY).status == 401
        assert api.request("GET", route, key=token).status == 401


@pytest.mark.parametrize("part", PARTS)
def test_a_forged_expired_or_missing_token_opens_nothing(api: Api, job: Job, part: str):
    good = token_of(api, job)
    assert opened(api, f"/ar/{job.id}?t={good}", part).status == 200
    body, _, signature = good.partition(".")
    later = token_of(api, job, expires_at=now() + timedelta(days=9)).partition(".")[0]
    refused = {
        "absent": "",
        "no token": "x",
        "another body": f"{later}.{signature}",
        "no signature": f"{body}.",
        "another signing key": token_of(api, job, "another key, as after a replacement of the one before"),
        "expired": token_of(api, job, expires_at=now() - timedelta(seconds=1)),
        "no such key": token_of(api, job, key="0" * 16),
    }
    for why, token in refused.items():
        answer = opened(api, f"/ar/{job.id}?t={token}", part)
        assert (answer.status, problem_of(answer)["type"]) == (401, "/problems/link-ended"), why


def test_a_link_ends_with_the_key_that_made_it(api: Api, job: Job):
    keys = Keys(api.records)
    key = keys.create("clinic", (Scope.READ,))
    path = link(api, job, key=key)
    keys.revoke(id_of(key))
    assert problem_of(opened(api, path))["type"] == "/problems/link-ended"


def test_a_key_that_may_not_read_makes_no_link(api: Api, job: Job):
    key = Keys(api.records).create("clinic", (Scope.SUBMIT, Scope.ADMIN))
    refused = api.request("POST", f"/v1/jobs/{job.id}/ar/link", key=key)
    assert problem_of(refused)["type"] == "/problems/insufficient-scope"


def test_a_link_of_a_deleted_job_is_answered_410(api: Api, job: Job):
    path = link(api, job)
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    for part in PARTS:
        assert problem_of(opened(api, path, part))["type"] == "/problems/gone", part


def test_a_link_needs_a_result_and_a_scale(api: Api):
    waiting = api.submit(radiograph(ImagerPixelSpacing=[0.2, 0.1])).json()["id"]
    assert problem_of(api.request("POST", f"/v1/jobs/{waiting}/ar/link"))["type"] == "/problems/not-ready"
    unscaled = f"/v1/jobs/{succeeded(api, PNG).id}/ar/link"
    assert problem_of(api.request("POST", unscaled))["type"] == "/problems/scale-unknown"
    assert problem_of(api.request("POST", f"{unscaled}?assume_mm=x"))["type"] == "/problems/malformed"


def test_a_link_keeps_the_spacing_that_was_assumed(api: Api):
    path = link(api, succeeded(api, PNG), "?assume_mm=0.15")
    scene = said(opened(api, path, "/scene.glb"))
    assert (scene["spacing_plane"], scene["spacing_mm"]) == ("assumed", [0.15, 0.15])
    assert "The size was assumed by the request" in opened(api, path).data.decode()
    # Nothing else can be assumed by whom the link is given to.
    assert said(opened(api, f"{path}&assume_mm=9", "/scene.glb"))["spacing_mm"] == [0.15, 0.15]


def test_a_browser_is_shown_a_problem_as_a_page(api: Api, job: Job):
    answer = opened(api, f"/ar/{job.id}?t=x", Accept="text/html,*/*;q=0.8")
    assert (answer.status, answer.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert "Ask for a new one." in answer.data.decode()


def test_every_answer_below_ar_has_the_policies_of_the_page(api: Api, job: Job):
    path = link(api, job)
    for part, token in [*((part, path) for part in PARTS), ("", f"/ar/{job.id}?t=x")]:
        headers = opened(api, token, part).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "img-src 'self' blob:", "connect-src 'self'"} <= {
            *policy
        }
        assert not any("unsafe" in rule or "http" in rule for rule in policy)
        assert headers["Permissions-Policy"] == "xr-spatial-tracking=(self), camera=()"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Frame-Options"] == "DENY"


def test_under_a_path_prefix_the_page_names_its_files_with_it(servers: Servers, tmp_path: Path):
    with serving(servers, tmp_path, public_url="https://osteo.example/bones") as (api, _):
        job = succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))
        path = link(api, job)
        assert path.startswith(f"/bones/ar/{job.id}?t=")
        # The proxy takes the prefix away.
        page = opened(api, path.removeprefix("/bones")).data.decode()
    for address in re.findall(r'(?:href|src|data-job)="([^"]+)"', page):
        assert address.startswith("/bones/ar/"), address
    assert f'data-job="/bones/ar/{job.id}"' in page


def test_scripts_and_style_are_open_and_cached(api: Api):
    script = api.request("GET", "/ar/static/page.js", headers=NO_KEY)
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = {"If-None-Match": script.headers["ETag"]}
    assert api.request("GET", "/ar/static/page.js", headers=NO_KEY | again).status == 304
    assert api.request("GET", "/ar/static/..%2Fscene_links.py", headers=NO_KEY).status == 404


def test_no_log_metric_or_audit_entry_has_the_token(api: Api, job: Job):
    path = link(api, job)
    token = path.partition("?t=")[2]
    forged = f"{token[:-8]}{'x' * 8}"
    for part in PARTS:
        line = api.accessed(opened(api, path, part))
        assert line["path"] == f"/ar/{job.id}{part}"
        assert (line["client"], line["key"]) == ("clinic", id_of(api.key))
    api.accessed(opened(api, f"/ar/{job.id}?t={forged}"))
    audit = [entry for entry in Audit(api.objects, api.redis).waiting() if entry["subject"] == job.id]
    done = {(entry["action"], entry["key"]) for entry in audit}
    assert {("makeSceneLink", id_of(api.key)), ("openSceneLink", id_of(api.key))} <= done
    metrics = api.request("GET", "/metrics", key="").data.decode()
    assert 'route="/ar/<job_id>/targets"' in metrics
    for text in (api.log.read_text(), json.dumps(audit), metrics):
        assert token[:20] not in text
        assert token[-20:] not in text
