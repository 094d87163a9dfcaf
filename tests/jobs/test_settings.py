import json
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from jobs.settings import ELSEWHERE, NAMES, Settings, SettingsError, warn_of_unknown

KEY = {"OSTEO_SIGNING_KEY": "k" * 32}


def test_defaults_fill_what_the_environment_does_not_say():
    assert Settings.from_environment(KEY).max_pixels == 50_000_000


def test_values_are_converted_to_their_kind():
    given = KEY | {
        "OSTEO_MAX_BYTES": "10",
        "OSTEO_CALLBACK_EXCEPTIONS": "A.example, 127.0.0.1",
        "S3_BUCKET": " ",
    }
    settings = Settings.from_environment(given)
    assert settings.max_bytes == 10
    assert settings.callback_exceptions == {"a.example", "127.0.0.1"}
    assert settings.s3_bucket == "osteo"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OSTEO_SIGNING_KEY": "short"},
        KEY | {"OSTEO_MAX_BYTES": "many"},
        KEY | {"OSTEO_CLIENT_RETENTION": "clinic"},
        KEY | {"OSTEO_CLIENT_RETENTION": "clinic=long"},
        KEY | {"OSTEO_CLIENT_RETENTION": "clinic=-1"},
        KEY | {"OSTEO_CLIENT_RETENTION": "clinic=5, clinic=0"},
        KEY | {"OSTEO_CLIENT_TIME_ZONES": "clinic"},
        KEY | {"OSTEO_CLIENT_TIME_ZONES": "clinic=Europe/Berlin,clinic=Asia/Tokyo"},
        KEY | {"OSTEO_CLIENT_TIME_ZONES": "clinic=Europe/Nowhere"},
        KEY | {"OSTEO_CLIENT_TIME_ZONES": "clinic=Europe"},
        KEY | {"OSTEO_CLIENT_TIME_ZONES": "clinic=../etc/passwd"},
        KEY | {"OSTEO_LOG_LEVEL": "LOUD"},
    ],
)
def test_a_wrong_setting_is_named(environment):
    with pytest.raises(SettingsError, match="OSTEO_"):
        Settings.from_environment(environment)


NUMBERS = [f for f in fields(Settings) if f.type in (int, float)]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda f: f.name)
def test_every_number_has_a_range_that_its_default_lies_in(setting):
    name, (least, most) = setting.metadata["env"], setting.metadata["within"]
    assert least <= setting.default <= most
    for edge in (least, most):
        assert getattr(Settings.from_environment(KEY | {name: str(edge)}), setting.name) == edge
    for wrong in (least - 1, most + 1, *(("nan", "inf") if setting.type is float else ())):
        with pytest.raises(SettingsError, match=rf"{name}='{wrong}' .*from {least} to {most}"):
            Settings.from_environment(KEY | {name: str(wrong)})


@pytest.mark.parametrize("module", [("gunicorn", "--config", "api/gunicorn.conf.py"), ("worker", "sweeper")])
def test_a_process_with_a_setting_out_of_range_does_not_start(module):
    wrong = KEY | {"OSTEO_SWEEP_SECONDS": "0"}
    command = [sys.executable, "-m", *module]
    done = subprocess.run(command, env=os.environ | wrong, capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert "OSTEO_SWEEP_SECONDS='0' is out of its range: from 0.1 to 60" in done.stderr


def test_names_that_are_no_settings_are_warned_of(caplog):
    warn_of_unknown(dict.fromkeys((*NAMES, *ELSEWHERE, "PATH", "OSTEO_SWEEP_SECOND", "OSTEO_X"), "1"))
    assert caplog.messages == [
        "OSTEO_SWEEP_SECOND is set and is no setting of this service; OSTEO_SWEEP_SECONDS is",
        "OSTEO_X is set and is no setting of this service",
    ]


def test_a_worker_warns_in_its_log_of_a_name_that_is_no_setting(servers):
    given = {"REDIS_URL": servers.redis_url, "OSTEO_BATCHES": "8"}
    command = [sys.executable, "-m", "admin.alive", "sweeper"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=120)
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["level"] == "WARNING"
    assert "OSTEO_BATCHES is set" in json.loads(line)["message"]


def test_a_process_that_signs_nothing_needs_and_keeps_no_signing_key():
    for environment in ({}, {"OSTEO_SIGNING_KEY": "short"}, KEY):
        assert Settings.from_environment(environment, signs=False).signing_key == ""


def test_a_client_may_have_a_retention_of_its_own():
    given = {"OSTEO_RETENTION_SECONDS": "60", "OSTEO_CLIENT_RETENTION": "short=5, ever=0"}
    settings = Settings.from_environment(KEY | given)
    assert [settings.retention_of(client) for client in ("short", "ever", "other")] == [5, None, 60]
    assert Settings.from_environment(KEY).retention_of("other") is None


def test_a_client_may_have_a_time_zone_of_its_own():
    given = {"OSTEO_CLIENT_TIME_ZONES": "north=Europe/Berlin, east=Asia/Tokyo"}
    settings = Settings.from_environment(KEY | given)
    zones = [str(settings.time_zone_of(client)) for client in ("north", "east", "other")]
    assert zones == ["Europe/Berlin", "Asia/Tokyo", "None"]


def test_secrets_are_not_in_the_settings_representation():
    shown = repr(Settings.from_environment(KEY | {"REDIS_URL": "redis://:password@host/0"}))
    assert "kkk" not in shown
    assert "password" not in shown


def test_no_two_settings_share_a_name():
    assert len(set(NAMES)) == len(NAMES)
