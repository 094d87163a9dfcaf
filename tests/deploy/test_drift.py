"""The rule OsteoDrift on drawn services, whose references are drawn from that of the shipped bundle."""

import re
import shutil
import subprocess
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from model.bundle import read_bundle
from model.bundle_summary import describe_bundle
from stack.part import ROOT
from tests.monitoring import FOLDER

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool: apt-get install prometheus"
)
ANSWERS = 300
REFERENCE = describe_bundle(read_bundle(ROOT / "model/bundle"))["reference"]
SHARES = np.array(REFERENCE["probabilities"]) / REFERENCE["n"]


def services_that_alert(shares: np.ndarray, services: int, folder: Path) -> int:
    """Have services answer 300 X-rays each, by these shares of tenths; return at how many the alert fires."""
    random = np.random.default_rng(20261128)
    series = []
    for number in range(services):
        answers = random.multinomial(ANSWERS, shares)
        series += histogram("osteo_result_probability", number, answers, "0 {}x80")
        series.append(
            {"series": f'osteo_result_probability_count{{bundle="{number}"}}', "values": f"0 {ANSWERS}x80"}
        )
        x_rays = random.multinomial(REFERENCE["n"], SHARES)
        series += histogram("osteo_model_reference_probability", number, x_rays, "{}x80")
    case = {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": "70m", "alertname": "OsteoDrift", "exp_alerts": []}],
    }
    rules = str(FOLDER / "rules/osteo.yml")
    text = yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "1m", "tests": [case]})
    (folder / "case.yml").write_text(text)
    ran = subprocess.run(["promtool", "test", "rules", folder / "case.yml"], capture_output=True, text=True)
    said = ran.stdout + ran.stderr
    fired = len(re.findall(r'Labels:\{alertname="OsteoDrift"', said))
    assert (ran.returncode == 0) is (fired == 0), said
    return fired


def histogram(name: str, bundle: int, counts: np.ndarray, values: str) -> list[dict[str, Any]]:
    """The series of the buckets of a histogram."""
    upto = {str((n + 1) / 10): count for n, count in enumerate(accumulate(counts.tolist()))}
    return [
        {"series": f'{name}_bucket{{bundle="{bundle}", le="{le}"}}', "values": values.format(count)}
        for le, count in (upto | {"+Inf": upto["1.0"]}).items()
    ]


def test_of_100_services_like_the_test_part_none_raises_the_alert(tmp_path: Path):
    assert services_that_alert(SHARES, 100, tmp_path) == 0


def test_every_service_with_answers_elsewhere_raises_it_after_300_of_them(tmp_path: Path):
    moved = SHARES.copy()
    # Two in five X-rays of which nothing was seen are now at the upper operating point.
    moved[0] *= 0.6
    moved[4] += SHARES[0] * 0.4
    assert services_that_alert(moved, 20, tmp_path) == 20
