"""The metrics of all roles, as a running stack serves them; docs/operate.md has a table of them."""

import re
from collections import defaultdict

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.part import ROOT
from stack.parts import WORKERS
from stack.receiver import Receiver
from tests import pictures
from tests.conftest import await_that
from tests.integration.conftest import SECONDS, Stack

ROLES = ("api", *WORKERS)


def figures(stack: Stack, role: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(stack.metrics(role))
        for sample in family.samples
    }


def test_a_job_moves_the_histograms_of_inference_and_delivery(stack: Stack, receiver: Receiver):
    before = figures(stack, "inference"), figures(stack, "delivery")
    result = stack.settled(stack.submit(callback_url=receiver.url, priority="stat")["id"])["result"]
    bundle = result["model"]["bundle"]
    counts = {
        ("osteo_job_queue_seconds_count", "stat"),
        ("osteo_job_analysis_seconds_count",),
        ("osteo_batch_size_count",),
        ("osteo_batch_size_bucket", "1.0"),
        ("osteo_result_probability_count", bundle),
        ("osteo_results_total", bundle, result["finding"]),
        *(("osteo_warnings_total", warning["type"]) for warning in result["warnings"]),
    }

    def increased(role: str) -> dict[tuple[str, ...], float]:
        after, was = figures(stack, role), before[WORKERS.index(role)]
        return {name: value - was[name] for name, value in after.items()}

    # A figure follows the record that the client reads.
    await_that(lambda: increased("inference")["osteo_results_total", bundle, result["finding"]] == 1)
    inference = increased("inference")
    assert {name: inference[name] for name in counts} == dict.fromkeys(counts, 1)
    assert inference["osteo_result_probability_sum", bundle] == pytest.approx(result["probability"])
    assert 0 < inference["osteo_job_analysis_seconds_sum",] < SECONDS
    assert increased("delivery")["osteo_delivery_seconds_count", "accepted"] == 1


def test_a_picture_that_inference_refuses_is_counted_and_is_no_result(stack: Stack):
    def counts() -> list[float]:
        found = figures(stack, "inference")
        refused = found["osteo_refusals_total", "not-a-radiograph"]
        return [refused, sum(found[name] for name in found if name[0] == "osteo_result_probability_count")]

    refused, results = counts()
    job = stack.settled(stack.submit(pictures.encoded(pictures.colours()))["id"])
    assert job["error"]["type"] == "not-a-radiograph"
    await_that(lambda: counts() == [refused + 1, results])


def test_inference_names_the_model_of_its_results(stack: Stack):
    model = stack.settled(stack.submit()["id"])["result"]["model"]
    served = text_string_to_metric_families(stack.metrics("inference"))
    (family,) = (family for family in served if family.name == "osteo_model_info")
    labels = model | {"role": "active"}
    assert [(sample.labels, sample.value) for sample in family.samples] == [(labels, 1)]


def test_the_table_of_metrics_is_what_the_roles_serve(stack: Stack, receiver: Receiver):
    stack.settled(stack.submit(callback_url=receiver.url)["id"])
    # The sweeper compares the clocks some seconds after its start.
    await_that(lambda: ("osteo_clock_difference_seconds", "redis") in figures(stack, "api"))
    labels, roles = defaultdict(set), defaultdict(list)
    for role in ROLES:
        for family in text_string_to_metric_families(stack.metrics(role)):
            if family.name.startswith("osteo_"):
                name = family.name + "_total" * (family.type == "counter")
                roles[name].append(role)
                labels[name] |= {label for sample in family.samples for label in sample.labels} - {"le"}
    served = {name: (labels[name], roles[name]) for name in roles}
    page = (ROOT / "docs/operate.md").read_text()
    rows = re.findall(r"^\| `(osteo_\w+)` \| (.*?) \| (.*?) \| .+ \|$", page, re.MULTILINE)
    told = {name: (set(re.findall(r"`(\w+)`", given)), by.split(", ")) for name, given, by in rows}
    assert len(told) == len(rows)
    assert told == served
