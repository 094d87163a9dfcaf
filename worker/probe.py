"""Send one test event, and let a receiver that takes it be called again."""

from jobs.callback_url import CallbackRefused, parse
from jobs.job import moment_text, now
from jobs.probes import Probes
from jobs.webhook import signed
from worker.call import Answer, call
from worker.deliver import Courier, logged


def probe(probe_id: str, client: str, probes: Probes, courier: Courier) -> None:
    """Call the receiver that the probe names, once, and record what came of it."""
    asked, at = probes.read(client, probe_id), now()
    message = f"msg_{probe_id}"
    event = {"type": "webhook.test", "timestamp": moment_text(at), "data": {"id": probe_id}}
    secrets = courier.webhooks.secrets(client, courier.webhooks.of(client), at)
    body, headers = signed(message, event, secrets, at)
    try:
        callback = parse(asked["callback_url"], courier.exceptions)
        answer = call(callback, body, headers, courier.exceptions, courier.seconds)
        if answer.accepted:
            courier.receivers.answered(courier.receivers.of(client, callback.origin))
    except CallbackRefused as refusal:
        answer = Answer(0.0, error=str(refusal))
    probes.write(client, asked | {"delivery": logged(message, 1, answer, at)})
