"""Tests the API behind the site of docs/deploy.md, deploy/nginx-site.conf: Debian's nginx with TLS."""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import pytest
import urllib3

from jobs.reading.readers import Readers
from jobs.record.job import now
from jobs.settings import Settings
from stack.addresses import free_ports
from tests import pictures
from tests.api.conftest import RESULT, ROOT, serving
from tests.api.server.test_behind_nginx import Proxied
from tests.conftest import SIGNING_KEY
from tests.proxies import AROUND_SITES, make_certificate, needs_tls, nginx

PNG = pictures.encoded(pictures.gray())
HOST = "xray.example.org"
SITE = f"https://{HOST}"
TEXT = (ROOT / "deploy/nginx-site.conf").read_text()
PAGE = {"Accept": "text/html"}
pytestmark = needs_tls


@pytest.fixture(scope="module")
def plain_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def site(servers, tmp_path_factory, plain_port: int) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("site")
    make_certificate(folder, HOST)
    with serving(servers, folder, public_url=SITE) as (api, _):
        changed = {
            "listen 443": "listen 127.0.0.1:{port}",
            "listen 80": f"listen 127.0.0.1:{plain_port}",
            "/etc/ssl/osteo": str(folder),
            "127.0.0.1:8000": api.url.removeprefix("http://"),
        }
        with nginx(AROUND_SITES.format(TEXT), folder, changed) as url:
            yield Proxied(api, urlsplit(url).port, folder)


def connection(site: Proxied) -> http.client.HTTPSConnection:
    """A connection of HTTP/1.1 that trusts the site and has no certificate of its own."""
    made = http.client.HTTPSConnection(
        HOST, site.port, timeout=60, context=ssl.create_default_context(cafile=site.certificate)
    )
    # To 127.0.0.1, with the name of the site in TLS.
    made._create_connection = lambda *_: socket.create_connection(("127.0.0.1", site.port), 60)
    return made


def test_a_job_is_submitted_and_its_links_lead_through_the_site(site: Proxied):
    job = site.asked("POST", f"{SITE}/v1/jobs", body=PNG)
    assert job.status == 202, job.data
    assert job.headers["Strict-Transport-Security"] == "max-age=31536000"
    for link in (job.headers["Location"], *job.json()["links"].values()):
        assert link.startswith(f"{SITE}/")
        assert site.asked("GET", link).status == 200


def test_one_connection_serves_many_requests(site: Proxied):
    kept = connection(site)
    kept.connect()
    first = kept.sock
    for _ in range(20):
        kept.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {site.api.key}"})
        answer = kept.getresponse()
        assert (answer.status, answer.version) == (200, 11)
        answer.read()
        assert kept.sock is first
    kept.close()


def test_an_event_passes_while_its_stream_is_open(site: Proxied):
    job = site.asked("POST", f"{SITE}/v1/jobs", body=PNG).json()
    ledger = site.api.ledger
    opened = connection(site)
    opened.request("GET", f"/v1/jobs/{job['id']}/events", headers={"Authorization": f"Bearer {site.api.key}"})
    stream = opened.getresponse()
    assert stream.headers["Content-Type"] == "text/event-stream"

    def state() -> str:
        while not (line := stream.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        return json.loads(line.removeprefix(b"data: "))["state"]

    assert state() == "queued"
    running = ledger.append(ledger.read(job["id"]).started("w", now()))
    assert state() == "running"
    ledger.append(running.succeeded(RESULT, now()))
    assert state() == "succeeded"
    assert stream.read() == b"\n"


def test_a_long_poll_is_answered_when_the_job_changes(site: Proxied):
    job = site.asked("POST", f"{SITE}/v1/jobs", body=PNG).json()
    ledger = site.api.ledger
    with ThreadPoolExecutor(1) as pool:
        headers = {"Authorization": f"Bearer {site.api.key}", "Prefer": "wait=30"}
        asked = pool.submit(site.request, "GET", f"{SITE}/v1/jobs/{job['id']}", headers=headers)
        ledger.append(ledger.append(ledger.read(job["id"]).started("w", now())).succeeded(RESULT, now()))
        answer = asked.result()
    assert (answer.status, answer.json()["state"]) == (200, "succeeded")


def test_a_body_beyond_nginxs_usual_limit_is_refused_by_the_api(site: Proxied):
    answer = site.asked("POST", f"{SITE}/v1/jobs", body=bytes(2_000_000))
    assert (answer.status, answer.json()["type"]) == (413, "/problems/image-too-large")


def test_the_site_takes_as_much_as_a_study_may_have():
    (limit,) = re.findall(r"client_max_body_size (\d+)m;", TEXT)
    assert int(limit) << 20 == Settings(SIGNING_KEY).max_study_bytes


def test_a_body_beyond_the_sites_limit_is_not_read(site: Proxied):
    begun = connection(site)
    begun.putrequest("POST", "/v1/studies")
    begun.putheader("Authorization", f"Bearer {site.api.key}")
    begun.putheader("Content-Length", str((512 << 20) + 1))
    begun.endheaders()
    assert begun.getresponse().status == 413


def cookies_of(answer: urllib3.BaseHTTPResponse) -> str:
    return "; ".join(text.partition(";")[0] for text in answer.headers.getlist("Set-Cookie"))


def test_a_reader_signs_in_and_sees_the_worklist_through_the_site(site: Proxied):
    key, _ = Readers(site.api.records).create("Dr. Ada Bone", frozenset({"msk"}), "clinic")
    form = site.request("GET", f"{SITE}/read/sign-in", headers=PAGE)
    direct = site.api.request("GET", "/read/sign-in", headers=PAGE | {"Authorization": ""})
    policies = [re.sub("nonce-[^']+", "", a.headers["Content-Security-Policy"]) for a in (form, direct)]
    assert policies[0] == policies[1]
    assert "default-src" in policies[0]
    body = urlencode({"csrf": form.data.decode().split('name="csrf" value="')[1].split('"')[0], "key": key})
    typed = PAGE | {"Content-Type": "application/x-www-form-urlencoded", "Origin": SITE}
    entered = site.request(
        "POST", f"{SITE}/read/sign-in", headers=typed | {"Cookie": cookies_of(form)}, body=body
    )
    assert (entered.status, entered.headers["Location"]) == (303, "/read")
    session = next(c for c in entered.headers.getlist("Set-Cookie") if c.startswith("osteo_session="))
    assert {"Secure", "HttpOnly", "Path=/read", "SameSite=Strict"} <= set(session.split("; "))
    worklist = site.request("GET", f"{SITE}/read", headers=PAGE | {"Cookie": cookies_of(entered)})
    assert worklist.status == 200
    assert "Ada Bone" in worklist.data.decode()


def test_figures_are_not_published(site: Proxied):
    assert site.request("GET", f"{SITE}/metrics").status == 404
    assert site.api.request("GET", "/metrics").status == 200


def test_plain_http_leads_to_https(site: Proxied, plain_port: int):
    answer = urllib3.request(
        *("GET", f"http://127.0.0.1:{plain_port}/docs?x=1"), headers={"Host": HOST}, redirect=False
    )
    assert (answer.status, answer.headers["Location"]) == (301, f"{SITE}/docs?x=1")
