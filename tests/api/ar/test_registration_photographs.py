"""`/v1/jobs/{id}/registration` by photographs: the markers found in them, hostile files, and what is left."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import urllib3
from PIL import Image

from api.app import create_app
from api.ar.registration import Seen, camera_of, registration_of
from api.identity.key_store import Keys
from jobs.record.job import Job
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from model.decode.april_tags import find_april_tags
from model.decode.image import Limits
from tests import pictures
from tests.api.ar.conftest import radiograph, succeeded
from tests.api.ar.peers import needs_package
from tests.api.ar.photographs import CAMERA, Scene, drawn_scene, photograph
from tests.api.ar.test_registration import away_from, kept, refused, shown
from tests.api.conftest import Api, collaborators, problem_of

Send = Callable[[bytes], dict[str, Any]]
pytestmark = needs_package("pypdfium2", "pyapriltags")
SCENE = drawn_scene(1)
FIELDS: dict[str, Any] = {"marker_mm": "50"} | {name: str(number) for name, number in CAMERA.items()}


@pytest.fixture
def job(api: Api) -> Job:
    return succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))


def send(api: Api, job: Job, data: bytes, **changed: Any) -> urllib3.BaseHTTPResponse:
    fields = {name: value for name, value in (FIELDS | changed).items() if value is not None}
    path = f"/v1/jobs/{job.id}/registration"
    return api.request("POST", path, fields={"photograph": ("IMG_0001.jpg", data), **fields})


def test_a_photograph_of_the_sheet_gives_the_pose_of_its_marker(api: Api, job: Job):
    found = send(api, job, photograph(SCENE)).json()
    assert found["source"] == "photograph"
    position_m, about_rad = away_from(SCENE, found)
    assert (np.abs(position_m) < 3 * np.array(found["sigma_m"])).all()
    assert (np.abs(about_rad) < 3 * np.array(found["sigma_rad"])).all()
    assert np.abs(np.array(found["corners_px"]) - SCENE.corners_px()).max() < 1
    check = found["size_check"]
    assert abs(check["marker_mm"] - 50) < 3 * check["sigma_mm"]
    assert shown(api, job).json() == found


def test_a_photograph_of_many_megapixels_gives_the_same_pose(api: Api, job: Job):
    with Image.open(io.BytesIO(photograph(SCENE))) as small:
        large = small.resize((round(small.width * 2.25), round(small.height * 2.25)))
    file = io.BytesIO()
    large.save(file, "JPEG", quality=70)
    camera = {name: str(2.25 * number) for name, number in CAMERA.items()}
    found = send(api, job, file.getvalue(), **camera).json()
    position_m, about_rad = away_from(SCENE, found)
    # Its corners are no surer than those of the small one.
    assert (np.abs(position_m) < 3 * 2.25 * np.array(found["sigma_m"])).all()
    assert (np.abs(about_rad) < 3 * 2.25 * np.array(found["sigma_rad"])).all()


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_poses_drawn_by_chance_lie_within_three_of_their_sigmas(count: int):
    within = missed = 0
    camera = camera_of(CAMERA, None)
    for seed in range(count):
        scene, rng = drawn_scene(seed), np.random.default_rng(seed)
        drawn = photograph(scene, rng.uniform(0.3, 1.5), rng.uniform(0, 8), seed)
        _, tags = find_april_tags(drawn, Limits().check, (7, 8))
        corners = {number: np.array(found) for number, found in tags}
        if 7 not in corners:
            missed += 1
            continue
        # The print is exact: no error of a print hides one of the pose.
        given = {"marker_mm": 50, "ruler_mm": 100}
        found = registration_of(given, camera, Seen("photograph", corners[7], corners.get(8)))
        places = [place for place in (found, found["alternative"]) if place]
        within += any(is_within(scene, place) for place in places)
    assert missed <= count * 0.05
    assert within >= (count - missed) * 0.95


def is_within(scene: Scene, place: dict[str, Any]) -> bool:
    """Whether each of six numbers lies within three sigmas of the pose alone."""
    position_m, about_rad = away_from(scene, place)
    print_m = 0.005 / np.sqrt(3) * np.array(place["camera_from_marker"])[:3, 3]
    sigma_m = np.sqrt(np.array(place["sigma_m"]) ** 2 - print_m**2)
    return bool(
        (np.abs(position_m) < 3 * sigma_m).all()
        and (np.abs(about_rad) < 3 * np.array(place["sigma_rad"])).all()
    )


@pytest.mark.parametrize("stated", ["40", "60"])
def test_a_photograph_tells_that_the_stated_size_is_wrong(api: Api, job: Job, stated: str):
    answer = send(api, job, photograph(SCENE), marker_mm=stated)
    assert refused(answer) == (422, "registration-refused")
    assert "`marker_mm` says" in problem_of(answer)["detail"]
    assert not kept(api, job)


def test_pixels_are_taken_as_stored_whatever_exif_says(api: Api, job: Job):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "Doe^Jane"
    plain, tagged = photograph(SCENE), photograph(SCENE, exif=exif)
    assert b"Jane" in tagged
    corners = [send(api, job, data).json()["corners_px"] for data in (plain, tagged)]
    assert corners[0] == corners[1]


def test_nothing_of_a_photograph_is_kept_but_numbers(api: Api, job: Job):
    exif = Image.Exif()
    exif[0x010E] = "Doe^Jane"
    data = photograph(SCENE, exif=exif)
    before = api.traces()
    assert send(api, job, data).status == 200
    added = {key for key in api.traces() - before if not key.startswith("audit")}
    assert added == kept(api, job)
    stored = api.objects.get(added.pop())
    assert len(stored) < 4000
    assert b"Jane" not in stored
    assert b"IMG_0001" not in stored
    assert "Jane" not in api.log.read_text()


def whole_side(width: int, height: int) -> bytes:
    """A gray JPEG picture of this size."""
    file = io.BytesIO()
    Image.new("L", (width, height), 140).save(file, "JPEG")
    return file.getvalue()


HOSTILE = {
    "empty": (b"", 415, "unsupported-image"),
    "text": (b"no picture at all", 415, "unsupported-image"),
    "png": (pictures.encoded(pictures.gray()), 415, "unsupported-image"),
    "dicom": (radiograph(), 415, "unsupported-image"),
    "truncated": (pictures.truncated_jpeg(), 422, "broken-image"),
    "header-alone": (b"\xff\xd8\xff\xe0", 422, "broken-image"),
    "many-scans": (whole_side(64, 64)[:-2] + b"\xff\xda\x00\x02" * 40 + b"\xff\xd9", 422, "broken-image"),
    "tiny": (whole_side(8, 8), 422, "broken-image"),
    "huge": (whole_side(4001, 3000), 413, "too-many-pixels"),
    "long": (whole_side(640, 480) + bytes(500_000), 413, "request-entity-too-large"),
    "bare": (whole_side(640, 480), 422, "marker-not-found"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_such_photograph_is_refused_and_gone(api: Api, job: Job, name: str):
    data, status, kind = HOSTILE[name]
    before = api.traces()
    assert refused(send(api, job, data)) == (status, kind)
    assert {key for key in api.traces() - before if not key.startswith("audit")} == set()


@pytest.fixture
def by_default(api: Api, job: Job, settings: Settings, queue: JobQueue) -> Iterator[Send]:
    """Send a photograph to a service with the usual limits."""
    ledger, keys = Ledger(api.objects, api.ledger.view), Keys(api.records)
    app = create_app(settings, collaborators(settings, ledger, queue, keys))

    def answered(data: bytes) -> dict[str, Any]:
        answer = app.test_client().post(
            f"/v1/jobs/{job.id}/registration",
            data={"photograph": (io.BytesIO(data), "x.jpg"), **FIELDS},
            headers={"Authorization": f"Bearer {api.key}"},
        )
        return dict(answer.json)

    yield answered
    app.extensions["pictures"].decoders.close()


def test_a_photograph_has_at_most_12_megapixels_or_the_services(api: Api, job: Job, by_default: Send):
    beyond = by_default(whole_side(4001, 3000))
    assert (beyond["type"], beyond["max_pixels"]) == ("/problems/too-many-pixels", 12_000_000)
    assert by_default(whole_side(4000, 3000))["type"] == "/problems/marker-not-found"
    # The other service takes 4 megapixels of any image.
    assert problem_of(send(api, job, whole_side(2001, 2000)))["max_pixels"] == 4_000_000


def test_two_sheets_in_a_photograph_are_not_told_apart(api: Api, job: Job):
    with Image.open(io.BytesIO(photograph(SCENE))) as one:
        both = Image.new("L", (one.width * 2, one.height))
        both.paste(one, (0, 0))
        both.paste(one, (one.width, 0))
    file = io.BytesIO()
    both.save(file, "JPEG", quality=92)
    assert refused(send(api, job, file.getvalue())) == (422, "marker-not-found")


@pytest.mark.parametrize(
    "changed",
    [
        {"marker_mm": None},
        {"marker_mm": "nan"},
        {"marker_mm": "4"},
        {"fx_px": None},
        {"fx_px": "inf"},
        {"cx_px": "1e9"},
        {"horizontal_fov_deg": "60"},
        {"ruler_mm": "long"},
        {"corners_px": "[]"},
    ],
)
def test_a_form_in_part_or_out_of_bounds_is_malformed(api: Api, job: Job, changed: dict[str, Any]):
    assert refused(send(api, job, photograph(SCENE), **changed)) == (400, "malformed")
    assert not kept(api, job)


def test_a_form_without_one_photograph_is_malformed(api: Api, job: Job):
    path = f"/v1/jobs/{job.id}/registration"
    form = {"Content-Type": "multipart/form-data"}
    for sent in ({"fields": FIELDS}, {"headers": form, "body": b"x"}):
        assert refused(api.request("POST", path, **sent)) == (400, "malformed")
    two = [("photograph", ("a.jpg", b"1")), ("photograph", ("b.jpg", b"2")), *FIELDS.items()]
    assert refused(api.request("POST", path, fields=two)) == (400, "malformed")


def test_a_service_without_a_detector_asks_for_the_corners(by_default: Send, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.ar.tags.find_spec", lambda _: None)
    problem = by_default(photograph(SCENE))
    assert problem["type"] == "/problems/unsupported-media-type"
    assert "corners" in problem["detail"]
