"""A bundle measured on folders of another place, on the path of the service."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle import CARD, MANIFEST, MEASURED, WEIGHTS, Bundle, Calibration, read_bundle
from model.classifier import Classifier, calibrate
from model.decode.image import decode
from model.network import FRACTURE
from tests.model.conftest import DESCRIPTION, untrained, write
from tests.training.collections_of_xrays import add_image, turned, write_rows
from training import external
from training.evaluation import intervals
from training.evaluation.external.goodness_of_fit import in_the_large, slope
from training.evaluation.external.recalibrate import FOLDS, _folds
from training.evaluation.external.served import serve
from training.evaluation.external.site import read_site
from training.evaluation.report import REPORT

XRAYS = 140


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "ROUNDS", 30)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    network = untrained()
    last = network.get_layer(FRACTURE)
    # So that its scores differ from X-ray to X-ray.
    last.kernel.assign(20 * np.asarray(last.kernel))
    # Far off, so that a fit to the place is better by more than chance.
    wrong = replace(DESCRIPTION, calibration=Calibration(temperature=3.0, bias=-3.0))
    return write(tmp_path_factory.mktemp("external") / "bundle", wrong, network)


@pytest.fixture(scope="module")
def place(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hospital whose labels follow the network's scores, with some noise; two X-rays a patient."""
    folder = tmp_path_factory.mktemp("external") / "St. Elsewhere"
    (folder / "images").mkdir(parents=True)
    rows = [{"image": f"synthetic-{number:04d}.png"} for number in range(XRAYS)]
    for number, row in enumerate(rows):
        clouds = np.random.default_rng(number).integers(0, 256, (24, 24), np.uint8)
        Image.fromarray(clouds).resize((120, 120), Image.Resampling.BICUBIC).save(
            folder / "images" / row["image"]
        )
    run = asked_before(folder)
    run.mkdir()
    said = serve([folder / "images" / row["image"] for row in rows], bundle.folder, run)
    ranks = np.argsort(np.argsort([one.score for one in said])) / XRAYS
    noisy = ranks + np.random.default_rng(0).normal(0, 0.2, XRAYS)
    for number, (row, fractured) in enumerate(zip(rows, noisy > 0.6, strict=True)):
        row |= {"fractured": str(int(fractured)), "group": f"patient-{number // 2}"}
        row |= {"region": ("hand", "leg")[number % 2], "boxes": "[]"}
    write_rows(folder, rows)
    whole = Image.open(folder / "images/synthetic-0000.png")
    add_image(folder, "colour.png", Image.new("RGB", (90, 80), (200, 30, 30)), fractured="1")
    add_image(folder, "broken.png", whole)
    (folder / "images/broken.png").write_bytes(b"no picture")
    add_image(folder, "missing.png", whole)
    (folder / "images/missing.png").unlink()
    other = str(1 - int(rows[1]["fractured"]))
    add_image(
        folder, "copy.png", turned(Image.open(folder / "images/synthetic-0001.png"), 40), fractured=other
    )
    return folder


def asked_before(folder: Path) -> Path:
    """A run of which the collection's own X-rays were asked before the tests."""
    return folder.parent / "run"


def measured(place: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, *more: str) -> dict:
    run = asked_before(place)
    command = ["external", str(place), "--bundle", str(bundle.folder), "--run", str(run), *more]
    monkeypatch.setattr(sys, "argv", command)
    external.main()
    return json.loads((run / external.MEASURED).read_text())


def test_figures_are_those_of_what_the_service_answers(
    place: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    figures = measured(place, bundle, monkeypatch)
    assert figures["site"]["folders"] == ["St. Elsewhere"]
    assert figures["site"]["left_out"] == {"missing-file": 1, "copy-with-other-label": 2}
    assert {one["kind"]: one["n"] for one in figures["refusals"]["reasons"]} == {
        "not-a-radiograph": 1,
        "unreadable-image": 1,
    }
    answered = XRAYS - 1
    assert figures["site"]["answered"] == figures["test"]["auc"]["n"] == answered
    assert figures["test"]["auc"]["value"] > 0.7
    assert {"region: hand", "region: leg", "source: St. Elsewhere"} <= {
        one["name"] for one in figures["subgroups"]
    }
    classifier = Classifier.load(bundle.folder)
    with (asked_before(place) / external.ANSWERED).open() as file:
        rows = [row for row in csv.DictReader(file) if row["probability"]]
    called = {True: [], False: []}
    for row in rows:
        (served,) = classifier.predict([decode((asked_before(place) / row["image"]).read_bytes())])
        assert float(row["probability"]) == pytest.approx(served.probability, abs=2e-3)
        called[row["fractured"] == "1"].append(served.finding)
    missed = called[True].count("no_fracture") / len(called[True])
    assert figures["test"]["sensitivity_at_low"]["value"] == pytest.approx(1 - missed, abs=0.02)
    sure = called[False].count("fracture") / len(called[False])
    assert figures["test"]["specificity_at_high"]["value"] == pytest.approx(1 - sure, abs=0.02)
    # The colour picture is labelled fractured, and is refused.
    fractured = figures["found_of_all_sent"]["n"]
    assert fractured == figures["test"]["sensitivity_at_low"]["n"] + 1


def test_a_killed_call_goes_on_where_it_was(
    place: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    run_network = Classifier.run

    def dies_in_the_third(self: Classifier, inputs: list) -> list:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(len(inputs))
        return run_network(self, inputs)

    paths = [place / "images" / f"synthetic-{number:04d}.png" for number in range(20)]
    monkeypatch.setattr(Classifier, "run", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        serve(paths, bundle.folder, tmp_path)
    monkeypatch.setattr(
        Classifier, "run", lambda self, inputs: asked.append(len(inputs)) or run_network(self, inputs)
    )
    first = serve(paths, bundle.folder, tmp_path)
    assert asked == [8, 8, 4]
    monkeypatch.setattr(Classifier, "load", None)
    assert serve(paths, bundle.folder, tmp_path) == first


class References(HTMLParser):
    """Everything of a page that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [
            str(value) for name, value in attributes if name in ("src", "href", "action", "srcset")
        ]
        assert tag not in ("script", "link", "iframe", "object")


def test_the_report_asks_no_network_and_names_no_file(
    place: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    measured(place, bundle, monkeypatch)
    page = (asked_before(place) / REPORT).read_text()
    references = References()
    references.feed(page)
    assert len(references.found) == 3
    assert all(one.startswith("data:image/png;base64,") for one in references.found)
    assert "default-src 'none'" in page
    assert "://" not in page
    assert "St. Elsewhere" in page
    kept = page + (asked_before(place) / external.MEASURED).read_text()
    for private in ("synthetic-", "colour.png", "patient-"):
        assert private not in kept


def test_a_recalibrated_bundle_fits_its_place_and_says_where_it_is_from(
    place: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    figures = measured(place, bundle, monkeypatch, "--recalibrate", str(tmp_path / "theirs"))
    before, after = figures["recalibrated"]["before"], figures["recalibrated"]["after"]
    assert abs(after["calibration_in_the_large"]["value"]) < abs(before["calibration_in_the_large"]["value"])
    assert after["brier"]["value"] < before["brier"]["value"]
    for rank in ("auc", "auc_within_sources", "average_precision"):
        assert after[rank] == before[rank], "a calibration leaves each X-ray in its place"
    assert after["sensitivity_at_low"]["value"] == pytest.approx(0.95, abs=0.08)
    assert after["specificity_at_high"]["value"] == pytest.approx(0.95, abs=0.08)
    theirs = read_bundle(tmp_path / "theirs")
    about = theirs.description
    assert about.version == "0.0.0+St-Elsewhere"
    assert theirs.sha256 == bundle.sha256
    assert about.thresholds.region == DESCRIPTION.thresholds.region
    assert about.metrics["recalibrated"] == figures["recalibrated"]
    assert about.metrics["test"] == after
    assert about.metrics["fixed_on"]["images"] == XRAYS - 1
    for provenance in ("folders", "date", "digests", "digest", "answered", "groups"):
        assert about.metrics["recalibrated"][provenance], provenance
    card = (theirs.folder / CARD).read_text()
    assert card.startswith("# untrained 0.0.0+St-Elsewhere\n")
    assert card.endswith((bundle.folder / CARD).read_text().rstrip() + "\n")
    assert figures["recalibrated"]["digest"] in card
    assert "too few X-rays" not in card
    assert (
        json.loads((theirs.folder / MEASURED).read_text())["thresholds"]
        == figures["recalibrated"]["thresholds"]
    )
    # What the worker serves is what was fitted.
    xray = decode((place / "images/synthetic-0000.png").read_bytes())
    plain, fitted = (Classifier.load(folder) for folder in (bundle.folder, theirs.folder))
    (answer,) = plain.run([plain.prepare(xray)])
    (served,) = fitted.predict([xray])
    assert served.probability == pytest.approx(
        float(calibrate(np.array(answer.score), about.calibration)), abs=2e-3
    )
    assert served.model == "untrained 0.0.0+St-Elsewhere"


def test_xrays_that_a_bundle_was_recalibrated_to_are_known_to_it(
    place: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = measured(place, bundle, monkeypatch, "--recalibrate", str(tmp_path / "theirs"))
    assert first["known_to_the_bundle"] is None
    again = measured(place, read_bundle(tmp_path / "theirs"), monkeypatch)
    assert again["known_to_the_bundle"] == {"train": 0, "validation": XRAYS - 1, "test": 0}
    assert "These figures are too good" in (asked_before(place) / REPORT).read_text()


def test_a_folder_of_xrays_is_not_replaced_by_a_bundle(
    place: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    files = sorted(place.rglob("*"))
    with pytest.raises(SystemExit, match="is not a bundle, and is not replaced"):
        measured(place, bundle, monkeypatch, "--recalibrate", str(place))
    assert sorted(place.rglob("*")) == files


def test_class_folders_are_measured_by_a_relative_path(
    place: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with (place / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"].startswith("synthetic")]
    for row in rows:
        named = tmp_path / "theirs" / ("intact", "fractured")[int(row["fractured"])] / row["image"]
        named.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / "images" / row["image"], named)
    monkeypatch.chdir(tmp_path / "theirs")
    site = read_site([Path("../theirs")], bundle.folder, asked_before(place))
    assert (len(site.entries), site.grouped) == (XRAYS, 0)
    assert len(np.unique(site.groups)) == XRAYS


def test_each_xray_is_judged_by_a_fit_on_other_patients(place: Path, bundle: Bundle):
    site = read_site([place], bundle.folder, asked_before(place))
    sample = site.transported(bundle)
    folds = _folds(sample)
    assert len(folds) == FOLDS
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(len(sample.labels)))
    for learned, held in folds:
        assert not set(sample.groups[learned]) & set(sample.groups[held])


@pytest.mark.parametrize(
    ("kept", "labels", "said"),
    [
        (60, "own", "--small"),
        (XRAYS, "random", "no calibration can mend"),
        (12, "own", "10 fractured and 10"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    kept: int,
    labels: str,
    said: str,
    place: Path,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = a_part(place, tmp_path / "part", kept, labels)
    command = ["external", str(folder), "--bundle", str(bundle.folder), "--run", str(tmp_path / "run")]
    (tmp_path / "run").mkdir()
    for kept_file in ("answers.sqlite", "fingerprints.npz"):
        shutil.copy(asked_before(place) / kept_file, tmp_path / "run")
    monkeypatch.setattr(sys, "argv", [*command, "--recalibrate", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=said):
        external.main()
    assert not (tmp_path / "out").exists()
    if said == "--small":
        monkeypatch.setattr(sys, "argv", [*command, "--recalibrate", str(tmp_path / "out"), "--small"])
        external.main()
        assert json.loads((tmp_path / "out" / MANIFEST).read_text())["version"] == "0.0.0+part.small"
        assert "Not for service" in (tmp_path / "out" / CARD).read_text()
        assert "Not for service" in (tmp_path / "out" / REPORT).read_text()
        assert (tmp_path / "out" / WEIGHTS).exists()


def a_part(place: Path, folder: Path, count: int, labels: str) -> Path:
    folder.mkdir()
    (folder / "images").symlink_to(place / "images")
    with (place / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"].startswith("synthetic")][:count]
    if labels == "random":
        random = np.random.default_rng(3)
        rows = [row | {"fractured": str(int(random.random() < 0.5))} for row in rows]
    write_rows(folder, rows)
    return folder


def test_calibration_in_the_large_and_slope_find_what_was_put_in():
    random = np.random.default_rng(0)
    true = random.normal(-1, 1.5, 40_000)
    labels = random.random(len(true)) < 1 / (1 + np.exp(-true))
    bold = 1 / (1 + np.exp(-2 * true))
    too_low = 1 / (1 + np.exp(-(true - 0.7)))
    assert slope(bold, labels) == pytest.approx(0.5, abs=0.02)
    assert slope(too_low, labels) == pytest.approx(1, abs=0.03)
    assert in_the_large(too_low, labels) == pytest.approx(0.7, abs=0.04)
    separated = np.where(labels, 0.8, 0.2)
    assert np.isnan(slope(separated, labels))
    assert np.isnan(in_the_large(separated, np.ones(len(labels), bool)))
