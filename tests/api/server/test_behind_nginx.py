"""Tests the API behind the nginx of docs/proxy.md: below a path, with TLS and HTTP/2, and with uploads."""

import json
import re
import subprocess
from urllib.parse import urlsplit

import pytest
import urllib3

from tests import pictures
from tests.api.conftest import ROOT, Api, serving
from tests.proxies import AROUND_SITES, make_certificate, needs_tls, nginx

PNG = pictures.encoded(pictures.gray())
PUBLIC, IMAGES = "https://xray.example.org/bones", "https://images.example.org"
BLOCK = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/proxy.md").read_text(), re.DOTALL)[1]
pytestmark = needs_tls


class Proxied:
    """The API and the object store as clients reach them."""

    def __init__(self, api: Api, port: int, folder) -> None:
        self.api, self.port, self.certificate = api, port, str(folder / "certificate.pem")

    def request(self, method: str, url: str, **given) -> urllib3.BaseHTTPResponse:
        target = urlsplit(url)
        pool = urllib3.HTTPSConnectionPool(
            *("127.0.0.1", self.port),
            ca_certs=self.certificate,
            server_hostname=target.hostname,
            assert_hostname=target.hostname,
        )
        headers = {"Host": target.hostname} | given.pop("headers", {})
        path = target.path + (f"?{target.query}" if target.query else "")
        return pool.request(method, path, headers=headers, retries=False, redirect=False, timeout=30, **given)

    def asked(self, method: str, url: str, **given) -> urllib3.BaseHTTPResponse:
        return self.request(method, url, headers={"Authorization": f"Bearer {self.api.key}"}, **given)


@pytest.fixture(scope="module")
def proxied(servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxied")
    make_certificate(folder, "xray.example.org", "images.example.org")
    with serving(servers, folder, public_url=PUBLIC, s3_public_url=IMAGES) as (api, _):
        changed = {
            "listen 443": "listen 127.0.0.1:{port}",
            "/etc/ssl/osteo": str(folder),
            "127.0.0.1:8000": api.url.removeprefix("http://"),
            "127.0.0.1:8333": servers.s3_url.removeprefix("http://"),
        }
        with nginx(AROUND_SITES.format(BLOCK), folder, changed) as url:
            yield Proxied(api, urlsplit(url).port, folder)


def test_all_links_of_answers_and_problems_lead_through_the_proxy(proxied: Proxied):
    job = proxied.asked("POST", f"{PUBLIC}/v1/jobs", body=PNG)
    assert job.status == 202, job.data
    for link in (job.headers["Location"], *job.json()["links"].values()):
        assert link.startswith(PUBLIC)
        assert proxied.asked("GET", link).status == 200
    problem = proxied.asked("GET", f"{PUBLIC}/v1/jobs/job_nobody").json()
    assert problem["type"] == "/bones/problems/no-such-job"
    told = proxied.request("GET", f"https://xray.example.org{problem['type']}")
    assert (told.status, told.json()["type"]) == (200, problem["type"])
    assert proxied.asked("GET", f"{PUBLIC}/openapi.json").json()["servers"] == [{"url": PUBLIC}]


@pytest.mark.parametrize("path", ["/docs", "/problems", "/problems/gone"])
def test_all_links_of_pages_lead_through_the_proxy(proxied: Proxied, path: str):
    page = proxied.request("GET", PUBLIC + path, headers={"Accept": "text/html"})
    links = set(re.findall(r'(?:href|src|action)="([^#"][^"]*)"', page.data.decode()))
    assert links
    for link in links:
        assert link.startswith("/bones/")
        assert proxied.request("GET", f"https://xray.example.org{link}").status == 200


def test_the_root_leads_to_the_docs_through_the_proxy(proxied: Proxied):
    answer = proxied.request("GET", f"{PUBLIC}/")
    assert (answer.status, answer.headers["Location"]) == (302, "docs")


def test_an_upload_goes_through_the_proxy_as_it_was_signed(proxied: Proxied):
    order = {"size": len(PNG), "content_type": "image/png"}
    upload = proxied.asked("POST", f"{PUBLIC}/v1/uploads", json=order).json()
    assert upload["url"].startswith(IMAGES)
    assert proxied.request("GET", upload["url"]).status == 403
    assert proxied.request("PUT", upload["url"], body=PNG, headers=upload["headers"]).status == 200
    answer = proxied.asked("POST", f"{PUBLIC}/v1/jobs?upload_id={upload['id']}")
    assert answer.status == 202, answer.data


def test_a_body_beyond_nginxs_usual_limit_is_refused_by_the_api(proxied: Proxied):
    answer = proxied.asked("POST", f"{PUBLIC}/v1/jobs", body=bytes(2_000_000))
    assert (answer.status, answer.json()["type"]) == (413, "/bones/problems/image-too-large")


def test_http2_is_spoken_by_the_proxy(proxied: Proxied):
    said = subprocess.run(
        [
            *(
                "curl",
                "-sS",
                "--http2",
                "--cacert",
                proxied.certificate,
                "-w",
                "\n%{http_version} %{http_code}",
            ),
            *("--resolve", f"xray.example.org:{proxied.port}:127.0.0.1"),
            *("-H", f"Authorization: Bearer {proxied.api.key}"),
            f"https://xray.example.org:{proxied.port}/bones/v1/jobs",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    body, _, told = said.rpartition("\n")
    assert "jobs" in json.loads(body)
    assert told == "2 200"
