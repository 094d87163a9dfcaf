"""One version: of the project, the client, the images and the changelog."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from jobs.version import VERSION

ROOT = Path(__file__).parents[1]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("project", ["pyproject.toml", "client/pyproject.toml"])
def test_every_distribution_has_the_version_of_the_service(project: str):
    assert tomllib.loads((ROOT / project).read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.linuxone.yml"])
def test_every_image_that_we_build_is_tagged_with_the_version(file: str):
    services = yaml.safe_load((ROOT / file).read_text())["services"].values()
    tags = {service["image"].rpartition(":")[2] for service in services if "build" in service}
    assert tags == {VERSION}


def test_the_changelog_begins_with_the_version_or_what_follows_it():
    headings = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    versions = [heading for heading in headings if heading != "[Unreleased]"]
    assert headings[-len(versions) :] == versions
    assert re.fullmatch(rf"\[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d", versions[0])


def test_the_changelog_has_the_sections_of_keep_a_changelog():
    kinds = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    for release in CHANGELOG.split("\n## ")[1:]:
        sections = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert sections
        assert sections == [kind for kind in kinds if kind in sections]
