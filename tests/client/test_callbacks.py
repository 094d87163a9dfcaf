import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import django
import pytest
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import Client as DjangoClient
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from flask import Flask

from jobs.callbacks.signing import signed, webhook_secret
from jobs.record.job import moment_text, now
from osteo_client import CallbackRejected, from_django, from_fastapi, from_flask, verify
from tests.conftest import SIGNING_KEY, a_job
from worker.delivery.deliver import event_of

SECRET = webhook_secret(SIGNING_KEY, "clinic")
OTHER = webhook_secret(SIGNING_KEY, "another")


def callback(
    *secrets: str, at: Any = None, event: dict[str, Any] | None = None
) -> tuple[bytes, dict[str, str]]:
    """A callback as the service sends it."""
    job = a_job().started("w", now()).failed("not-a-radiograph", "It is a photograph.", now())
    document = event or event_of(job, None, "", now())
    return signed("msg_1", document, secrets or [SECRET], at or now())


def test_a_callback_of_the_service_is_read():
    body, headers = callback()
    event = verify(SECRET, body, headers)
    assert (event.id, event.type) == ("msg_1", "job.failed")
    assert (event.job.state, event.job.error.type) == ("failed", "not-a-radiograph")
    assert event.document == json.loads(body)


def test_a_test_event_has_no_job():
    document = {"type": "webhook.test", "timestamp": moment_text(now()), "data": {"id": "probe_1"}}
    assert verify(SECRET, *callback(event=document)).job is None


def test_while_a_secret_is_rotated_both_secrets_verify():
    body, headers = callback(OTHER, SECRET)
    assert verify(SECRET, body, headers) == verify(OTHER, body, headers)


def forged(name: str) -> tuple[bytes, dict[str, str]]:
    body, headers = callback()
    return {
        "body changed": (body.replace(b"failed", b"passed"), headers),
        "other secret": callback(OTHER),
        "replayed later": callback(at=now() - timedelta(minutes=6)),
        "from the future": callback(at=now() + timedelta(minutes=6)),
        "other id": (body, headers | {"webhook-id": "msg_2"}),
        "no headers": (body, {}),
        "no comma": (body, headers | {"webhook-signature": "v1"}),
        "no base64": (body, headers | {"webhook-signature": "v1,?"}),
        "no number": (body, headers | {"webhook-timestamp": "today"}),
        "no text": (b"\xff", headers),
    }[name]


FORGERIES = (
    *("body changed", "other secret", "replayed later", "from the future", "other id"),
    *("no headers", "no comma", "no base64", "no number", "no text"),
)


@pytest.mark.parametrize("name", FORGERIES)
def test_a_callback_that_the_service_did_not_sign_is_rejected(name: str):
    with pytest.raises(CallbackRejected, match="this secret"):
        verify(SECRET, *forged(name))


def flask_status(body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    app = Flask(__name__)

    @app.post("/callback")
    def receive() -> str:
        return from_flask(SECRET).type

    answer = app.test_client().post("/callback", data=body, headers=dict(headers))
    return answer.status_code, answer.data


def fastapi_status(body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    app = FastAPI()

    @app.post("/callback")
    async def receive(request: Request) -> str:
        return (await from_fastapi(SECRET, request)).type

    answer = TestClient(app).post("/callback", content=body, headers=dict(headers))
    return answer.status_code, answer.content


@csrf_exempt
def django_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(from_django(SECRET, request).type)


urlpatterns = [path("callback", django_view)]


def django_status(body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["testserver"],
            SECRET_KEY="test",  # pragma: allowlist secret
        )
        django.setup()
    answer = DjangoClient(enforce_csrf_checks=True).post(
        "/callback", body, content_type="application/json", headers=dict(headers)
    )
    return answer.status_code, answer.content


@pytest.mark.parametrize(
    ("post", "refusal"), [(flask_status, 401), (fastapi_status, 401), (django_status, 403)]
)
def test_each_framework_reads_what_is_signed_and_refuses_what_is_not(post: Any, refusal: int):
    status, said = post(*callback())
    assert (status, b"job.failed" in said) == (200, True)
    status, said = post(*forged("body changed"))
    assert (status, b"job.failed" in said) == (refusal, False)


def test_nothing_but_the_http_library_and_the_signatures_is_imported():
    code = (
        "import sys, osteo_client, osteo_client.command.main;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    kept_out = {
        "flask",
        "fastapi",
        "django",
        "starlette",
        "tensorflow",
        "keras",
        "numpy",
        "tqdm",
        "jobs",
        "api",
    }
    assert "httpx2" in loaded.split()
    assert not kept_out & set(loaded.split())
