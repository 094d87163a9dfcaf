"""What inference asks of the object store is what deploy/s3.json lets it do, and that is never a DELETE."""

import json
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from model.decode.image import NotARadiograph
from tests.conftest import a_study
from tests.jobs.store.requests import watch
from tests.worker.conftest import after_a_while
from tests.worker.inference.test_analyse import PNG, Analyst, accepted, analysis, answering  # noqa: F401 - a fixture
from worker.inference.analyse import AnalysisContext, analyse
from worker.sweeper.sweep import Sweeper

ACCOUNTS = json.loads((Path(__file__).parents[2] / "deploy/s3.json").read_text())
ACTION = {"HeadObject": "GetObject"}
"""Which right an operation takes, where its name is another."""


def allows(account: str, action: str, key: str) -> bool:
    """Whether an account of deploy/s3.json may do this to a key of the bucket."""
    (names,) = (made["policyNames"] for made in ACCOUNTS["identities"] if made["name"] == account)
    documents = (json.loads(made["content"]) for made in ACCOUNTS["policies"] if made["name"] in names)
    return any(
        f"s3:{action}" in statement["Action"]
        and any(fnmatchcase(f"arn:aws:s3:::${{S3_BUCKET}}{key}", place) for place in statement["Resource"])
        for document in documents
        for statement in document["Statement"]
    )


@pytest.fixture
def asked(settings, ledger, analysis, request) -> tuple[set[tuple[str, str]], AnalysisContext]:  # noqa: F811
    """What the analyses at a analysis ask of the object store: actions and keys."""
    objects, seen = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), set()

    def note(action: str, key: str) -> None:
        # The right to list is one to the bucket.
        seen.add((ACTION.get(action, action), "" if action == "ListBucket" else f"/{key}"))

    watch(objects, note)
    return seen, replace(analysis, ledger=Ledger(objects, ledger.view, may_delete=False))


def test_no_analysis_needs_a_right_that_inference_lacks(asked, ledger, queue, redis):
    seen, analysis = asked  # noqa: F811
    study, views = a_study(2, size=len(PNG))
    ledger.accept_study(study, ((view, PNG) for view in views))
    for job in (
        accepted(ledger),
        accepted(ledger, retention_seconds=60),
        accepted(ledger, callback_url="https://clinic.example/"),
        accepted(ledger, image=b"no image"),
        *views,
    ):
        analyse(job.id, analysis)
    analyse(accepted(ledger).id, replace(analysis, model_of=Analyst(refusal=NotARadiograph("a cat"))))
    broken = accepted(ledger)
    analyse(
        broken.id, replace(analysis, model_of=Analyst(answer=answering(ValueError("bug"))), max_attempts=1)
    )
    assert [letter.id for letter in ledger.dead_letters()] == [broken.id]
    assert {action for action, _ in seen} == {"GetObject", "PutObject", "ListBucket"}
    assert [(action, key) for action, key in seen if not allows("osteo-inference", action, key)] == []

    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    after_a_while(sweeper, redis)
    assert len(list(ledger.pending())) == 1, "one callback is due"


def test_inference_may_change_no_image_key_or_entry_of_the_audit_log():
    for key in ("clients/clinic/jobs/x", "keys/x", "audit/2026-11-28/x", "uploads/clinic/x"):
        assert allows("osteo-api", "PutObject", f"/{key}"), key
        assert not allows("osteo-inference", "PutObject", f"/{key}"), key
    for key in ("models/active.000000000002", "models/bundles/x/bundle.json"):
        assert not allows("osteo-inference", "PutObject", f"/{key}"), "a worker promotes no model"
    for key in ("shadow/x/job_x", "jobs/job_x/shadow/x"):
        assert allows("osteo-inference", "PutObject", f"/{key}"), "a shadow worker has this account"
    for key in ("pending/x", "jobs/x/ledger/000002"):
        assert not allows("osteo-inference", "DeleteObject", f"/{key}"), key
