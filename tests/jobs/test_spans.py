"""Spans are recorded where an endpoint is set, and a collector that does not answer costs nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.spans import begin_span, record_spans, span, stop_recording
from jobs.trace import continue_trace, trace_id, trace_of_thread
from stack.addresses import free_ports
from tests.jobs.otlp import attributes, listening
from worker.__main__ import main

ROOT = Path(__file__).parents[2]
CLIENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    stop_recording()


def test_what_records_and_sends_spans_is_not_imported_without_an_endpoint():
    # redis-py imports the SDK's metrics wherever they are installed.
    code = (
        "import sys, api.app, worker.roles, worker.__main__; from jobs.spans import record_spans, span\n"
        "record_spans(None, 'api')\n"
        "with span('one') as one: one.set({}); one.fail('x')\n"
        "names = ('jobs.span_export', 'opentelemetry.sdk.trace', 'opentelemetry.exporter', 'google')\n"
        "sys.exit(any(name.startswith(names) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_span_that_is_not_recorded_continues_the_trace():
    with span("outer", parent=CLIENT) as outer:
        assert trace_of_thread.get() == CLIENT
        assert trace_id(outer.traceparent) == trace_id(CLIENT)
        assert outer.traceparent != CLIENT
    assert trace_of_thread.get() is None


def test_an_endpoint_without_the_packages_ends_a_worker_with_2(monkeypatch, capsys):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setattr(sys, "argv", ["worker", "sweeper"])
    monkeypatch.setattr("worker.__main__.log_as_json", lambda _: None)
    assert main() == 2
    assert "Install the extra `otel`" in capsys.readouterr().err


def test_what_waits_is_sent_when_the_process_stops_recording(monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    with listening() as collector:
        record_spans(collector.url, "sweeper")
        with span("outer", "server", CLIENT, attributes={"osteo.n": 1}) as outer:
            with span("inner"):
                pass
            with pytest.raises(ValueError, match="secret"), span("broken", link=outer.traceparent):
                raise ValueError("secret")
        assert not collector.requests
        stop_recording()
        spans = {one.name: one for _, one in collector.spans()}
        assert {service for service, _ in collector.spans()} == {"osteo-sweeper"}
    assert spans["outer"].parent_span_id.hex() == CLIENT[36:52]
    assert {one.trace_id.hex() for one in spans.values()} == {trace_id(CLIENT)}
    assert spans["inner"].parent_span_id == spans["outer"].span_id
    assert [link.span_id for link in spans["broken"].links] == [spans["outer"].span_id]
    assert attributes(spans["broken"]) == {"error.type": "ValueError"}
    assert "secret" not in str(spans["broken"])


def test_a_trace_that_its_client_does_not_record_is_not_recorded():
    with listening() as collector:
        record_spans(collector.url, "api")
        unrecorded = begin_span("POST", "server", continue_trace(None))
        unrecorded.end()
        stop_recording()
        assert not collector.requests
    assert unrecorded.traceparent.endswith("-00")


def test_a_collector_that_is_away_is_logged_once_and_fails_nothing(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    (port,) = free_ports(1)
    record_spans(f"http://127.0.0.1:{port}", "api")
    for _ in range(3):
        with span("one"):
            pass
    stop_recording()
    said = [record.message for record in caplog.records if record.name == "jobs.span_export"]
    assert said == ["the collector of traces does not take spans; they are lost until it does"]


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("jobs.span_export._CLOSE_SECONDS", 0.1)
    with listening(answers=False) as collector:
        record_spans(collector.url, "api")
        with span("one"):
            pass
        stop_recording()
        assert not collector.answers.is_set()
