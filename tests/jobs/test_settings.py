import pytest

from jobs.settings import NAMES, Settings, SettingsError

KEY = {"OSTEO_SIGNING_KEY": "k" * 32}


def test_defaults_fill_what_the_environment_does_not_say():
    assert Settings.from_environment(KEY).max_pixels == 50_000_000


def test_values_take_their_kind():
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
    ],
)
def test_a_wrong_setting_is_named(environment):
    with pytest.raises(SettingsError, match="OSTEO_"):
        Settings.from_environment(environment)


def test_a_client_may_have_a_retention_of_its_own():
    given = {"OSTEO_RETENTION_SECONDS": "60", "OSTEO_CLIENT_RETENTION": "short=5, ever=0"}
    settings = Settings.from_environment(KEY | given)
    assert [settings.retention_of(client) for client in ("short", "ever", "other")] == [5, None, 60]
    assert Settings.from_environment(KEY).retention_of("other") is None


def test_secrets_are_not_in_the_settings_representation():
    shown = repr(Settings.from_environment(KEY | {"REDIS_URL": "redis://:password@host/0"}))
    assert "kkk" not in shown
    assert "password" not in shown


def test_no_two_settings_share_a_name():
    assert len(set(NAMES)) == len(NAMES)
