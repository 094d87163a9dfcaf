"""One trace leads from a submission to its callback, over a killed worker, and holds nothing of a patient."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
import urllib3
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from jobs.trace import trace_id
from tests.chaos.service import Service
from tests.chaos.stand_in import image
from tests.chaos.windows import WINDOWS, arm, fired
from tests.conftest import await_that
from tests.jobs.otlp import Listener, attributes, listening

MARK = "mrn-4711-marked"
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECOND = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WORKERS = ("inference-1", "delivery", "sweeper-1")
(BEFORE_INFERENCE,) = (window for window in WINDOWS if window.name == "before inference")


class OneOfEach(Service):
    """A process of each role."""

    workers = WORKERS


@dataclass
class Traced:
    """The spans of two jobs, and the callbacks' headers by trace."""

    collector: Listener
    called: dict[str, str]

    def of(self, traceparent: str) -> dict[str, list[Span]]:
        """The spans of a trace by name, in the order in which they began."""
        found: dict[str, list[Span]] = {}
        trace = trace_id(traceparent)
        for _, one in sorted(self.collector.spans(), key=lambda pair: pair[1].start_time_unix_nano):
            if one.trace_id.hex() == trace:
                found.setdefault(one.name, []).append(one)
        return found


def submit(service: Service, traceparent: str, receiver: Listener) -> None:
    """Send a job with marks in all that a client can say, and wait for its callback."""
    before = len(receiver.requests)
    answer = urllib3.request(
        "PUT",
        f"{service.api_url}/v1/jobs/{MARK}-{uuid4().hex[:8]}",
        headers={
            "Authorization": f"Bearer {service.api_key}",
            "traceparent": traceparent,
            "X-Request-ID": MARK,
            "User-Agent": MARK,
        },
        fields={
            "image": (f"{MARK}.png", image()),
            "reference": MARK,
            "metadata": f'{{"patient": "{MARK}"}}',
            "callback_url": f"{receiver.url}/{MARK}?patient={MARK}",
        },
        retries=False,
    )
    assert answer.status in (201, 202), answer.data
    await_that(lambda: len(receiver.requests) > before)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with pytest.MonkeyPatch.context() as patch, listening() as collector, listening() as receiver:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        # Only the end of a process sends its spans.
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "6000000")
        with OneOfEach(tmp_path_factory.mktemp("traces")) as service:
            # First: a worker that is killed sends nothing of what it did before.
            arm(BEFORE_INFERENCE, service.folder)
            submit(service, SECOND, receiver)
            assert fired(BEFORE_INFERENCE, service.folder)
            submit(service, CLIENT, receiver)
            for part in ("api", *WORKERS):
                service.tell(part, signal.SIGTERM)
            called = {
                trace_id(headers["traceparent"]): headers["traceparent"] for headers, _ in receiver.requests
            }
            found = Traced(collector, called)
            wanted = {"PUT /v1/jobs/<job_id>", "process deliver", "process infer.routine"}
            for trace in (CLIENT, SECOND):
                await_that(lambda trace=trace: wanted <= found.of(trace).keys())  # type: ignore[misc]
            yield found


def test_one_trace_leads_from_the_submission_to_the_callback(traced: Traced):
    spans = traced.of(CLIENT)
    assert {name: len(found) for name, found in spans.items()} == {
        "PUT /v1/jobs/<job_id>": 1,
        "send infer.routine": 1,
        "process infer.routine": 1,
        "read image": 1,
        "decode": 1,
        "engine": 1,
        "record result": 1,
        "send deliver": 1,
        "process deliver": 1,
        "POST": 1,
    }
    one = {name: found for name, (found,) in spans.items()}
    submitted, analysed, called = one["PUT /v1/jobs/<job_id>"], one["process infer.routine"], one["POST"]
    assert submitted.parent_span_id.hex() == CLIENT[36:52]
    for name in ("send infer.routine", "process infer.routine", "send deliver", "process deliver"):
        assert one[name].parent_span_id == submitted.span_id
    for name in ("read image", "decode", "engine", "record result"):
        assert one[name].parent_span_id == analysed.span_id
    assert called.parent_span_id == one["process deliver"].span_id
    for queue in ("infer.routine", "deliver"):
        assert [link.span_id for link in one[f"process {queue}"].links] == [one[f"send {queue}"].span_id]
    kinds = {name: Span.SpanKind.Name(found.kind).removeprefix("SPAN_KIND_") for name, found in one.items()}
    assert kinds["PUT /v1/jobs/<job_id>"] == "SERVER"
    assert kinds["send deliver"] == "PRODUCER"
    assert kinds["process deliver"] == "CONSUMER"
    assert kinds["POST"] == "CLIENT"
    assert traced.called[trace_id(CLIENT)] == f"00-{trace_id(CLIENT)}-{called.span_id.hex()}-01"


def test_a_second_attempt_after_a_killed_worker_is_a_second_span(traced: Traced):
    spans = traced.of(SECOND)
    lost, second = spans["process infer.routine"]
    assert [attributes(one)["osteo.job.attempt"] for one in (lost, second)] == [1, 2]
    assert attributes(lost)["error.type"] == "worker-lost"
    assert [one.status.code for one in (lost, second)] == [Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET]
    assert attributes(second)["osteo.job.state"] == "succeeded"
    assert [link.span_id for link in second.links] == [spans["send infer.routine"][-1].span_id]
    assert len(spans["POST"]) == 1


def test_every_role_sends_its_spans_when_it_is_told_to_stop(traced: Traced):
    services = {service for service, _ in traced.collector.spans()}
    assert services == {"osteo-api", "osteo-inference", "osteo-delivery", "osteo-sweeper"}


def test_no_span_holds_what_a_client_sent(traced: Traced):
    assert traced.collector.spans()
    for export in traced.collector.exports():
        assert MARK not in str(export)
    for _, one in traced.collector.spans():
        assert not {"url.full", "url.path", "url.query"} & attributes(one).keys()
