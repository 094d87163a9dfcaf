"""docs/settings.md is what the settings table and the code that reads it say."""

import yaml

from admin.settings_page import PAGE, SIGNING, page, roles_of_settings
from admin.settings_reads import ROOT, settings_read_from
from jobs.settings import NAMES


def test_the_settings_page_is_the_one_that_is_generated():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m admin.settings_page"


def test_the_settings_page_has_a_row_for_each_setting():
    rows = [line.split("|")[1].strip(" `") for line in page().splitlines() if line.startswith("| `")]
    assert rows == list(NAMES)


def test_every_setting_is_read_by_a_role():
    assert [name for name, roles in roles_of_settings().items() if not roles] == []


def test_roles_read_what_their_code_names():
    roles = roles_of_settings()
    assert roles["redis_url"] == ["api", "inference", "delivery", "sweeper", "shadow", "commands"]
    assert roles["log_level"] == ["api", "inference", "delivery", "sweeper", "shadow", "commands"]
    assert roles["max_pixels"] == ["api", "inference", "shadow"]
    assert roles["max_attempts"] == ["inference", "sweeper"]
    assert roles["callback_exceptions"] == ["api", "delivery"]
    assert roles["least_rate"] == ["api"]
    assert roles["sweep_seconds"] == ["sweeper"]


def test_roles_that_read_the_signing_key_are_those_that_compose_gives_it():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    given = [
        name for name, service in services.items() if "OSTEO_SIGNING_KEY" in service.get("environment", {})
    ]
    # Commands run in the container of the API.
    assert sorted([*given, "commands"]) == sorted(SIGNING)
    assert roles_of_settings()["signing_key"] == list(SIGNING)


def test_a_method_of_settings_counts_as_what_it_reads():
    assert {"client_retention", "retention_seconds"} <= settings_read_from(
        "api.intake.submission:check_submission"
    )
