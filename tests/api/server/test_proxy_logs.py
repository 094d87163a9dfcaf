"""Tests that nginx, as it is handed out, logs no query: it may hold a token, a signature or a reference."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3

from stack.addresses import free_ports
from tests.api.server.test_behind_nginx import BLOCK
from tests.api.server.test_nginx_site import TEXT
from tests.proxies import AROUND_SITES, deployed_nginx, make_certificate, needs_tls, nginx

MARK = "what-no-log-may-have"
REQUESTS = (("GET", "/ar/job_1?t="), ("POST", "/v1/jobs?reference="), ("PUT", "/bucket/a?X-Amz-Signature="))
API, IMAGES = "xray.example.org", "images.example.org"
pytestmark = needs_tls


def check_log(url: str, folder: Path, path: str = "", **pool) -> None:
    """Send each request to a proxy whose upstream is away. Its query may not be in what nginx has written."""
    with urllib3.PoolManager(cert_reqs="CERT_NONE", **pool) as manager:
        for method, target in REQUESTS:
            answer = manager.request(
                method, f"{url}{path}{target}{MARK}", body=b"x", retries=False, redirect=False
            )
            assert answer.status in {301, 403, 502}
    assert MARK not in (folder / "nginx.log").read_text()


def test_nginx_of_compose_logs_no_query_of_a_request_that_fails(tmp_path: Path):
    (away,) = free_ports(1)
    with deployed_nginx(f"http://127.0.0.1:{away}", tmp_path) as url:
        check_log(url, tmp_path)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize(
    ("configuration", "host", "path", "others"),
    [
        (TEXT, API, "", {"listen 80": "listen 127.0.0.1:{plain}"}),
        (BLOCK, API, "/bones", {"127.0.0.1:8333": "127.0.0.1:{away}"}),
        (BLOCK, IMAGES, "", {"127.0.0.1:8333": "127.0.0.1:{away}"}),
    ],
    ids=["site", "page", "images"],
)
def test_a_site_logs_no_query_of_a_request_that_fails(
    tmp_path: Path, configuration: str, host: str, path: str, others: dict[str, str]
):
    away, plain = map(str, free_ports(2))
    changed = {"listen 443": "listen 127.0.0.1:{port}", "127.0.0.1:8000": "127.0.0.1:{away}"} | others
    changed = {old: new.replace("{away}", away).replace("{plain}", plain) for old, new in changed.items()}
    changed["/etc/ssl/osteo"] = str(tmp_path)
    make_certificate(tmp_path, API, IMAGES)
    with nginx(AROUND_SITES.format(configuration), tmp_path, changed) as url:
        address = f"https://127.0.0.1:{urlsplit(url).port}"
        check_log(address, tmp_path, path, server_hostname=host, assert_hostname=host, headers={"Host": host})
        if configuration == TEXT:
            check_log(f"http://127.0.0.1:{plain}", tmp_path)
