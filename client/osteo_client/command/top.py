"""Shows the state of a service in a terminal, from its metrics, for the one who operates it."""

import argparse
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2

from osteo_client.command.progress import Output
from osteo_client.errors import NotTheService, Unreachable

Figures = dict[tuple[str, str], float]
"""The value of each sample by its name and its labels, as they are written."""

_SAMPLE = re.compile(r"^(osteo_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_CLEAR = "\x1b[H\x1b[J"
_WIDTH = 80
_PATIENCE = 10
"""Seconds in which the service has to answer."""


def top(given: argparse.Namespace, output: Output) -> int:
    """Print the state once, or anew every few seconds until it is interrupted.

    Raises Unreachable or NotTheService where the first look fails. A later one that fails is shown.
    """
    try:
        _look(given, output)
    except KeyboardInterrupt:
        if given.once:
            raise
    return 0


def _look(given: argparse.Namespace, output: Output) -> None:
    with httpx2.Client(base_url=given.url.rstrip("/"), timeout=_PATIENCE) as client:
        before, at = None, 0.0
        while True:
            try:
                figures = read_figures(client)
            except (Unreachable, NotTheService) as error:
                if before is None:
                    raise
                _show([f"! {error}"], output)
            else:
                passed = time.monotonic() - at
                if output.as_json:
                    output.line(
                        "", **{f"{name}{{{labels}}}": value for (name, labels), value in figures.items()}
                    )
                else:
                    _show([_heading(given.url, figures), *lines(figures, before, passed)], output)
                before, at = figures, time.monotonic()
            if given.once:
                return
            time.sleep(given.every)


def read_figures(client: httpx2.Client) -> Figures:
    """Return what `/metrics` of the service says now. Raises Unreachable or NotTheService."""
    try:
        answer = client.get("/metrics")
    except httpx2.HTTPError as error:
        raise Unreachable(f"{client.base_url} does not answer: {type(error).__name__}") from error
    found = {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(answer.text)}
    if answer.status_code != 200 or ("osteo_redis_up", "") not in found:
        raise NotTheService(f"{client.base_url}metrics is no page of metrics: give the API's own address")
    return found


def lines(figures: Figures, before: Figures | None, seconds: float) -> Iterator[str]:
    """Say what the figures say, in lines of at most 80 columns. `!` begins one that asks for an operator.

    A rate needs the figures of `seconds` before.
    """

    def value(name: str, **labels: str) -> float | None:
        found = [figures[key] for key in figures if key[0] == name and _has(key[1], labels)]
        return sum(found) if found else None

    def number(name: str, **labels: str) -> str:
        found = value(name, **labels)
        return "?" if found is None else f"{found:.0f}"

    def rate(name: str, **labels: str) -> str:
        if not before:
            return "-"
        keys = [key for key in figures if key[0] == name and _has(key[1], labels)]
        grown = sum(max(0.0, figures[key] - before.get(key, 0.0)) for key in keys)
        return f"{grown / seconds:.1f}/s"

    def line(bad: object, name: str, *parts: str) -> str:
        return f"{'!' if bad else ' '} {name:<10} {'   '.join(parts)}"[:_WIDTH].rstrip()

    redis, store = value("osteo_redis_up"), value("osteo_object_store_up")
    writes = value("osteo_object_store_takes_writes")
    yield line(
        not (redis and store and writes),
        "stores",
        f"redis {'answers' if redis else 'is away'}",
        f"object store {'is away' if not store else 'answers' if writes else 'refuses writes'}",
    )
    roles = ("inference", "delivery", "sweeper")
    yield line(
        not all(value("osteo_processes", role=role) for role in roles),
        "processes",
        *(f"{role} {number('osteo_processes', role=role)}" for role in roles),
    )
    for priority in ("stat", "routine", "archive"):
        oldest = value("osteo_jobs_oldest_seconds", priority=priority) or 0.0
        answered = value("osteo_job_answer_seconds_count", priority=priority) or 0.0
        timely = value("osteo_job_answer_seconds_bucket", priority=priority, le="30.0") or 0.0
        share = f"{timely / answered:.1%} of {answered:.0f} within 30 s" if answered else "none answered yet"
        waiting = f"{number('osteo_jobs_waiting', priority=priority)} wait"
        yield line(priority == "stat" and oldest > 60, priority, waiting, f"oldest {_span(oldest)}", share)
    yield line(
        value("osteo_dead_letters"),
        "jobs",
        f"{value('osteo_jobs_drained_per_second') or 0:.1f}/s taken",
        *(
            f"{number('osteo_jobs_ended_total', state=end)} {end}"
            for end in ("succeeded", "failed", "expired")
        ),
        f"{number('osteo_dead_letters')} dead letters",
    )
    disabled = value("osteo_receivers", state="disabled")
    yield line(
        disabled or value("osteo_receivers", state="failing"),
        "callbacks",
        *(f"{number('osteo_deliveries_total', outcome=end)} {end}" for end in ("delivered", "failed")),
        f"receivers: {number('osteo_receivers', state='failing')} failing",
        f"{number('osteo_receivers', state='disabled')} disabled",
    )
    overdue = value("osteo_readings_overdue", priority="stat")
    unclaimed = value("osteo_readings_waiting")
    yield line(
        overdue,
        "readings",
        f"{'?' if unclaimed is None else f'{unclaimed:.0f}'} wait",
        f"{number('osteo_readings_overdue')} overdue",
    )
    failed = sum(
        figures[key] - (before or figures).get(key, 0.0)
        for key in figures
        if key[0] == "osteo_http_requests_total" and _has(key[1], {}, status="5")
    )
    yield line(
        failed > 0, "requests", f"{rate('osteo_http_requests_total')} answered", f"{failed:.0f} failed (5xx)"
    )
    yield from _clients(figures)


def _clients(figures: Figures) -> Iterator[str]:
    """The queue of each client, where the service names clients (OSTEO_METRICS_CLIENTS)."""
    queues = [
        (figures["osteo_client_jobs_oldest_seconds", labels], dict(_LABEL.findall(labels)), count)
        for (name, labels), count in figures.items()
        if name == "osteo_client_jobs_waiting"
    ]
    for oldest, labels, count in sorted(queues, key=lambda queue: -queue[0]):
        client = ascii(labels["client"])[1:-1]  # A terminal obeys some of what is no letter.
        told = f"  {labels['priority']:<10} {count:>6.0f} wait   oldest {_span(oldest):<10} {client}"
        yield told[:_WIDTH]


def _has(written: str, labels: dict[str, str], **begin: str) -> bool:
    """Whether a sample has these labels, and others that begin so."""
    found = dict(_LABEL.findall(written))
    return labels.items() <= found.items() and all(
        found.get(name, "").startswith(text) for name, text in begin.items()
    )


def _heading(url: str, figures: Figures) -> str:
    version = next(
        (dict(_LABEL.findall(key[1]))["version"] for key in figures if key[0] == "osteo_build_info"), "?"
    )
    return f"  osteo top   {url}   version {version}   {datetime.now(UTC):%H:%M:%S} UTC"[:_WIDTH]


def _show(shown: list[str], output: Output) -> None:
    live = sys.stdout.isatty()
    print(f"{_CLEAR if live else ''}" + "\n".join(shown), end="\n" if live else "\n\n", flush=True)


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
