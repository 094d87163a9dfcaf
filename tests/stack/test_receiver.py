"""The receiver takes callbacks with a valid signature and no others."""

import json
from datetime import UTC, datetime

import pytest
import urllib3
from standardwebhooks.webhooks import Webhook

from stack.receiver import Receiver

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgbG9uZyBlbm91Z2g="  # pragma: allowlist secret
BODY = json.dumps({"type": "job.succeeded", "data": {"id": "job_1"}})


def post(receiver: Receiver, secret: str, body: str = BODY) -> int:
    moment = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", moment, BODY),
    }
    return urllib3.request("POST", receiver.url, body=body, headers=headers).status


def test_a_signed_callback_arrives_with_its_job() -> None:
    with Receiver(SECRET) as receiver:
        assert post(receiver, SECRET) == 204
        callback = receiver.wait_for("job_1", 60)
    assert (callback.webhook_id, callback.type, callback.job) == ("msg_1", "job.succeeded", {"id": "job_1"})


def test_a_callback_signed_with_another_secret_is_rejected() -> None:
    with Receiver(SECRET) as receiver:
        assert post(receiver, "whsec_" + "YW5vdGhlciBzZWNyZXQ=") == 401
    assert not receiver.callbacks
    assert len(receiver.rejected) == 1


def test_a_callback_changed_on_its_way_is_rejected() -> None:
    with Receiver(SECRET) as receiver:
        assert post(receiver, SECRET, body=BODY.replace("succeeded", "failed")) == 401
        with pytest.raises(TimeoutError, match="job_1"):
            receiver.wait_for("job_1", 0)


def test_a_callback_without_a_signature_is_rejected() -> None:
    with Receiver(SECRET) as receiver:
        assert urllib3.request("POST", receiver.url, body=BODY).status == 401
