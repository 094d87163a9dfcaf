"""The gate refuses each thing that it is there to refuse, and says it; it lets a good bundle pass."""

from dataclasses import replace

from jobs.models.gate import LEAST_OF_GROUP, Limits, comparable, readers_findings, reasons
from jobs.models.shadow_scores import ShadowScore
from jobs.reading.readings import Readings
from tests.conftest import a_job
from tests.jobs.reading.signed import a_report, amend, claimed, sign

A, B = "a" * 64, "b" * 64
LIMITS = Limits(jobs=200, disagreement=0.1)


def scores(count: int, differing: int = 0, **changes) -> list[ShadowScore]:
    """So many scores, the first of which differ."""
    agrees = ShadowScore(
        "", B, "fracture", 0.9, A, "fracture", 0.8, client="clinic", format="PNG", body_part=None
    )
    name = "-".join(map(str, changes.values()))
    return [
        replace(agrees, job=f"{name}{n}", finding="no_fracture" if n < differing else "fracture", **changes)
        for n in range(count)
    ]


def refused(found: list[ShadowScore], read: dict[str, str] | None = None) -> list[str]:
    return list(reasons(found, read or {}, LIMITS))


def test_enough_jobs_that_agree_open_the_gate():
    assert refused(scores(200, differing=20)) == []


def test_too_few_jobs_keep_the_gate_closed():
    (reason,) = refused(scores(199))
    assert reason == "199 jobs were scored by it as shadow, and 200 are needed"
    assert refused([])


def test_a_disagreement_above_the_limit_keeps_the_gate_closed():
    reason, *groups = refused(scores(200, differing=21))
    assert reason == "all jobs: 21 of 200 findings differ from those served, and 10% may"
    assert len(groups) == 2, "its client and its format"


def test_a_worse_body_part_or_client_keeps_the_gate_closed_by_itself():
    wrists = scores(LEAST_OF_GROUP, differing=10, body_part="WRIST")
    assert refused([*scores(400), *wrists]) == [
        "body part WRIST: 10 of 30 findings differ from those served, and 10% may"
    ]
    (reason,) = refused([*scores(400), *scores(LEAST_OF_GROUP, differing=10, client="hill")])
    assert reason.startswith("client hill: ")
    assert refused([*scores(400), *wrists[: LEAST_OF_GROUP - 1]]) == [], "too few to tell"


def test_readers_on_the_side_of_the_served_model_keep_the_gate_closed():
    found = scores(400, differing=8, body_part="ANKLE")
    read = {score.job: "fracture" for score in found[:20]}
    assert refused(found, read)[0] == (
        "all jobs: of 20 blind readings 8 agree with the served model alone, and 0 with this bundle alone"
    )
    other_side = {score.job: "no_fracture" for score in found[:20]}
    assert refused(found, other_side) == []
    assert refused(found, {found[0].job: "fracture"}) == [], "one reading may be chance"


def test_a_shadow_that_broke_or_refused_counts_as_a_difference():
    broken = [replace(score, finding="broken", probability=None) for score in scores(30)]
    assert refused([*scores(200), *broken])[0].startswith("all jobs: 30 of 230")


def test_only_scores_beside_the_active_bundle_are_compared():
    found = [
        *scores(2, served_bundle=A),
        *scores(3, served_bundle="c" * 64),
        *scores(1, served_bundle=B),
    ]
    assert len(comparable(found, B, A)) == 2
    assert len(comparable(found, B, None)) == 5, "what each worker's own bundle is, is not known here"


def test_only_blind_findings_of_readers_count_in_the_gate(ledger):
    blind, assisted, amended, differing, unsigned = (a_job() for _ in range(5))
    for job in (blind, assisted, amended, differing, unsigned):
        ledger.accept(job, b"image")
    readings = Readings(ledger)
    sign(ledger, claimed(ledger, blind), "no_fracture")
    own = claimed(ledger, assisted)
    seen = {"finding": "fracture", "sites": [], "at": "", "reader": "reader_ada", "blind": False}
    readings.change(own, lambda now: replace(now, committed=seen, version=now.version + 1))
    readings.change(own, lambda now: now.signed(a_report(), {}, now.requested_at))
    amend(ledger, sign(ledger, claimed(ledger, amended), "fracture"), "no_fracture")
    first = sign(ledger, claimed(ledger, differing), "fracture")
    sign(ledger, claimed(ledger, differing, arbitrates=first), "no_fracture")
    claimed(ledger, unsigned)
    jobs = [blind.id, assisted.id, amended.id, differing.id, unsigned.id]
    assert readers_findings(readings, jobs) == {
        blind.id: "no_fracture",
        amended.id: "fracture",
        differing.id: "fracture",
    }
