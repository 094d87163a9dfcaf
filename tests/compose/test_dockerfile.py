"""A cut of `make image-run`: every instruction of deploy/Dockerfile is known, and copies what is there."""

from pathlib import Path

import pytest

from stack.part import ROOT
from tests.compose.dockerfile import Image, Unknown, copy, stages
from tests.compose.images import ENVIRONMENT, STAGES, described
from tests.compose.sandbox import SERVICES


@pytest.mark.parametrize("name", STAGES)
def test_every_copy_of_the_dockerfile_finds_what_it_names(name: str, tmp_path: Path):
    image = Image(tmp_path, ENVIRONMENT)
    for instruction in STAGES[name][1]:
        image = image.after(instruction)
        if instruction.name == "COPY" and not instruction.options:
            copy(instruction, image, ROOT)
    assert not list(tmp_path.rglob("__pycache__"))


def test_an_image_has_what_its_stages_before_it_say(tmp_path: Path):
    image = described("inference", tmp_path)
    assert (image.user, image.workdir) == ("osteo", "/srv/osteo")
    assert image.environment["PATH"] == f"/opt/venv/bin:{ENVIRONMENT['PATH']}"
    assert image.environment["HOME"] == "/tmp"
    assert image.command == ("python", "-m", "worker", "inference")


@pytest.mark.parametrize(
    "line",
    [
        "VOLUME /data",
        "ADD https://example.org/file /",
        "RUN --mount=type=cache,target=/root/.cache pip install .",
        'RUN ["pip", "install", "."]',
        "COPY --chown=osteo jobs jobs",
        "COPY --from=other --link /opt /opt",
        "CMD python -m worker",
    ],
)
def test_what_is_not_known_of_a_dockerfile_is_refused(line: str):
    with pytest.raises(Unknown):
        stages(f"FROM python:3.11.14-slim-trixie AS base\n{line}\n")


@pytest.mark.parametrize("line", ["FROM debian", "FROM --platform=linux/s390x debian AS base", "USER osteo"])
def test_a_stage_begins_with_a_base_and_a_name_alone(line: str):
    with pytest.raises(Unknown):
        stages(f"{line}\n")


def test_nothing_is_copied_that_dockerignore_keeps_from_the_builder(tmp_path: Path):
    (instruction,) = stages("FROM debian AS base\nCOPY tests tests\n")["base"][1]
    with pytest.raises(Unknown, match="dockerignore"):
        copy(instruction, Image(tmp_path, ENVIRONMENT), ROOT)


@pytest.mark.parametrize("file", ["Dockerfile", "linuxone.Dockerfile"])
def test_the_user_of_an_image_has_the_numbers_that_compose_names(file: str):
    text = (ROOT / "deploy" / file).read_text()
    users = {service["user"] for service in SERVICES.values() if "build" in service}
    assert users == {"10001:10001"}
    assert text.count("useradd --system --uid 10001 --gid osteo") == text.count("useradd")
    assert text.count("groupadd --system --gid 10001 osteo") == text.count("useradd")
