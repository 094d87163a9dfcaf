"""What models may learn of a job: which reading counts, and when none does."""

import pytest

from admin.reading_label import NoLabel, label_of
from jobs.reading.readings import Readings
from tests.conftest import a_job
from tests.jobs.reading.signed import amend, claimed, sign


@pytest.fixture
def job(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    return job


def label(ledger, job):
    return label_of(Readings(ledger).of_job(job.id))


def test_the_last_signed_version_counts(ledger, job):
    first = sign(ledger, claimed(ledger, job))
    assert label(ledger, job).fractured
    amend(ledger, first, "no_fracture")
    assert not label(ledger, job).fractured


def test_an_arbitration_counts_before_the_reading_that_it_decides(ledger, job):
    first = sign(ledger, claimed(ledger, job), kind="missed", grade="2b")
    with pytest.raises(NoLabel, match="arbitration"):
        label(ledger, job)
    second = claimed(ledger, job, arbitrates=first)
    with pytest.raises(NoLabel, match="arbitration"):
        label(ledger, job)
    sign(ledger, second, "no_fracture", grade="2b")
    amend(ledger, first, "fracture")
    found = label(ledger, job)
    assert (found.fractured, found.first.id, found.last.id) == (False, first.id, second.id)


@pytest.mark.parametrize("finding", ["not_sure", "not_diagnostic"])
def test_a_report_without_an_answer_is_no_label(ledger, job, finding):
    sign(ledger, claimed(ledger, job), finding)
    with pytest.raises(NoLabel, match=finding):
        label(ledger, job)


def test_a_reading_that_is_not_signed_is_no_label(ledger, job):
    with pytest.raises(NoLabel, match="no signed reading"):
        label(ledger, job)
    reading = claimed(ledger, job)
    with pytest.raises(NoLabel, match="no signed reading"):
        label_of([reading])
