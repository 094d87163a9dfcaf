"""Decides whether a bundle may become active, by what it scored as shadow, and says each reason why not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import comb

from jobs.models.shadow_scores import ShadowScore
from jobs.reading.readings import Readings

LEAST_OF_GROUP = 30
"""Jobs from which on the disagreement in a group counts: in fewer one finding weighs too much."""
CHANCE = 0.05
"""Readers are on the side of the served model by chance at most so often, if both models are as good."""
_AT_ONCE = 16
_GROUPS = ("client", "body_part", "format")


@dataclass(frozen=True)
class Limits:
    """What a bundle must reach: jobs that it has scored, and the share of other findings at most, 0..1."""

    jobs: int
    disagreement: float


@dataclass(frozen=True)
class Comparison:
    """How a bundle and the served model compare on some jobs.

    `readings` counts the jobs with a reader's blind finding, `worse` those on which the served model alone
    agrees with it, `better` those on which the bundle alone does.
    """

    jobs: int
    differing: int
    readings: int
    worse: int
    better: int

    @property
    def disagreement(self) -> float:
        """The share of jobs with another finding."""
        return self.differing / self.jobs if self.jobs else 0.0

    @property
    def worse_by_chance(self) -> float:
        """How likely so many worse readings are, or more, if both models are as good (sign test)."""
        told = self.worse + self.better
        return sum(comb(told, count) for count in range(self.worse, told + 1)) / 2**told


def comparable(scores: Iterable[ShadowScore], bundle: str, active: str | None) -> list[ShadowScore]:
    """Return the scores that compare the bundle with the active one; where none is named, with any other."""
    return [
        score for score in scores if score.served_bundle != bundle and active in (None, score.served_bundle)
    ]


def compare(scores: Sequence[ShadowScore], read: Mapping[str, str]) -> Comparison:
    """Compare the scores with what was served, and both with the readers' findings by job id."""
    told = [(score, read[score.job]) for score in scores if score.job in read]
    return Comparison(
        jobs=len(scores),
        differing=sum(score.differs for score in scores),
        readings=len(told),
        worse=sum(score.finding != finding == score.served_finding for score, finding in told),
        better=sum(score.served_finding != finding == score.finding for score, finding in told),
    )


def groups(scores: Iterable[ShadowScore]) -> dict[str, list[ShadowScore]]:
    """Return the scores by client, by body part and by format of the image; a group is named `client x`."""
    found: dict[str, list[ShadowScore]] = defaultdict(list)
    for score in scores:
        for name in _GROUPS:
            if value := getattr(score, name):
                found[f"{name.replace('_', ' ')} {value}"].append(score)
    return dict(sorted(found.items()))


def reasons(scores: Sequence[ShadowScore], read: Mapping[str, str], limits: Limits) -> Iterator[str]:
    """Return why the bundle may not become active; nothing where it may."""
    if len(scores) < limits.jobs:
        yield f"{len(scores)} jobs were scored by it as shadow, and {limits.jobs} are needed"
    for name, group in {"all jobs": list(scores), **groups(scores)}.items():
        found = compare(group, read)
        enough = name == "all jobs" or found.jobs >= LEAST_OF_GROUP
        if enough and found.disagreement > limits.disagreement:
            yield (
                f"{name}: {found.differing} of {found.jobs} findings differ from those served,"
                f" and {limits.disagreement:.0%} may"
            )
        if found.worse_by_chance < CHANCE:
            yield (
                f"{name}: of {found.readings} blind readings {found.worse} agree with the served model"
                f" alone, and {found.better} with this bundle alone"
            )


def readers_findings(readings: Readings, job_ids: Iterable[str]) -> dict[str, str]:
    """Return the reader's finding of each job with a signed reading that found a fracture or none.

    Only findings that were committed blind count: any other was made with the served model's answer in view,
    and so leans to that model. Where blind readers of one job differ, the job has no finding.
    """

    def read(job_id: str) -> tuple[str, set[str]]:
        signed = (reading for reading in readings.of_job(job_id) if reading.reports)
        first = (reading.committed for reading in signed)
        return job_id, {one["finding"] for one in first if one and one["blind"]}

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [(job_id, findings) for job_id, findings in pool.map(read, job_ids) if len(findings) == 1]
    told = {job_id: finding for job_id, (finding,) in found}
    return {job_id: finding for job_id, finding in told.items() if finding in ("fracture", "no_fracture")}
