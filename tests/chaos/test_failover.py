"""Redis behind sentinels, with TLS and a user for each role: a failover, and who is not let in."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.record.errors import QueueAway
from jobs.redis.queue import celery_app
from jobs.redis.view import View
from stack.part import ROOT
from tests.chaos.__main__ import attempt, faults_of
from tests.chaos.failover import ServiceOverSentinels, master_killed
from tests.chaos.sentinels import MISSING, PROGRAM, Sentinels
from tests.conftest import SIGNING_KEY
from tests.proxies import make_certificate

pytestmark = pytest.mark.skipif(not PROGRAM, reason=f"NO FAILOVER WAS TRIED: {MISSING}")
JOBS = 20
SECONDS = 60
NARROW = "user narrow on >password-of-narrow ~* &* -@all"
WITHOUT_INFO = "user without-info on >password-of-without-info ~* &* +@all -@dangerous"
NO_SERVER = {"S3_ENDPOINT_URL": "http://127.0.0.1:9", "S3_BUCKET": "none", "OSTEO_SIGNING_KEY": SIGNING_KEY}


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with Sentinels(tmp_path_factory.mktemp("servers"), NARROW, WITHOUT_INFO) as sentinels:
        yield sentinels


def refused(url: str) -> str:
    """What a worker says at its end that is not let in."""
    done = subprocess.run(
        (sys.executable, "-m", "worker", "delivery"),
        cwd=ROOT,
        env=os.environ | NO_SERVER | {"REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    return said


@pytest.mark.long
def test_every_job_is_analysed_and_called_back_through_a_failover(sentinels, tmp_path):
    with ServiceOverSentinels(tmp_path, sentinels) as service:
        trial = master_killed(sentinels, JOBS)
        row = attempt(service, trial, seed=0)
        app = celery_app(sentinels.url("api"))
        stats: Any = app.control.inspect(timeout=SECONDS, limit=3).stats()
        app.close()
    assert row.accepted == trial.jobs
    # How long it takes is for the trial itself, on a machine that does nothing else.
    assert [fault for fault in faults_of(row, trial) if not fault.startswith("recovery")] == []
    said = json.dumps(stats) + "".join(log.read_text() for log in (tmp_path / "log").iterdir())
    assert "sentinel://inference:**@" in said
    assert [secret for secret in sentinels.secrets() if secret in said] == []


def test_a_ca_that_did_not_sign_the_certificate_is_refused(sentinels, tmp_path):
    make_certificate(tmp_path, "127.0.0.1")
    url = re.sub(r"(?<=ssl_ca_certs=)[^&]+", f"{tmp_path}/certificate.pem", sentinels.url("delivery"))
    assert "the certificate of a sentinel is not trusted" in refused(url)


def test_a_process_that_a_sentinel_refuses_says_why(sentinels):
    url = sentinels.url("delivery")
    without = re.sub(r"&ssl_(cert|key)file=[^&]+", "", url)
    assert "a sentinel asks for a certificate: name one in REDIS_URL" in refused(without)
    wrong = url.replace("sentinel_password=", "sentinel_password=x")
    assert "a sentinel refuses the user or password in REDIS_URL" in refused(wrong)
    too_few = refused(sentinels.url("delivery", asks_as="peer"))
    assert "a sentinel gives the user 'peer' of REDIS_URL too few rights" in too_few


def test_a_user_of_redis_that_may_do_too_little_is_named(sentinels):
    assert "Redis gives the user 'narrow' of REDIS_URL too few rights" in refused(sentinels.url("narrow"))
    # The rights suffice to enter, and not for a script.
    view = View.connect(sentinels.url("without-info"), 60)
    with pytest.raises(QueueAway, match="the user 'without-info' of REDIS_URL too few rights"):
        view.lock_version("job_1", 1, "token")
