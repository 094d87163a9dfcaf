"""One-time codes: each counts once in all processes together, and guessing is stopped."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pyotp
import pytest

from api.identity.totp import CodeRefused, Codes, otpauth_uri, totp_secret
from jobs.reading.reader import Reader
from jobs.reading.readers import CODE_FAILURES, CODE_LOCK, CodesLocked, Readers
from jobs.record.job import now
from tests.conftest import SIGNING_KEY

STEP = timedelta(seconds=30)


@pytest.fixture
def readers(ledger) -> Readers:
    return Readers(ledger.records)


@pytest.fixture
def reader(readers: Readers) -> Reader:
    return readers.create("Dr. Ada Bone", frozenset({"msk"}))[1]


@pytest.fixture
def codes(readers: Readers) -> Codes:
    return Codes(readers, SIGNING_KEY)


def code(reader: Reader, at) -> str:
    return pyotp.TOTP(totp_secret(SIGNING_KEY, reader)).at(at)


def wrong(reader: Reader) -> str:
    good = {code(reader, now() + STEP * offset) for offset in range(-3, 4)}
    return next(text for text in map("{:06d}".format, range(10)) if text not in good)


def test_a_code_of_an_authenticator_app_is_taken_with_spaces(reader, codes):
    app = pyotp.parse_uri(otpauth_uri(SIGNING_KEY, reader))
    assert (app.issuer, app.name) == ("Osteo-Synergy", "Dr. Ada Bone")
    at, text = now(), app.now()
    assert codes.check(reader.id, f" {text[:3]} {text[3:]}", at) == int(at.timestamp()) // 30


@pytest.mark.parametrize(("offset", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_is_taken_one_step_early_or_late_and_no_more(reader, codes, offset: int, taken: bool):
    at = now()
    if taken:
        codes.check(reader.id, code(reader, at + STEP * offset), at)
    else:
        with pytest.raises(CodeRefused):
            codes.check(reader.id, code(reader, at + STEP * offset), at)


def test_a_used_code_and_those_before_it_are_refused(reader, codes):
    at = now()
    codes.check(reader.id, code(reader, at), at)
    for moment in (at, at - STEP):
        with pytest.raises(CodeRefused):
            codes.check(reader.id, code(reader, moment), at)
    codes.check(reader.id, code(reader, at + STEP), at)


def test_a_code_counts_once_whichever_process_it_is_sent_to(reader, ledger):
    at = now()
    processes = [Codes(Readers(ledger.records), SIGNING_KEY) for _ in range(4)]

    def use(process: Codes) -> bool:
        with suppress(CodeRefused):
            return bool(process.check(reader.id, code(reader, at), at))
        return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(use, processes)) == [False, False, False, True]


def test_wrong_codes_lock_all_codes_for_five_minutes(reader, codes, readers, monkeypatch):
    for _ in range(CODE_FAILURES):
        with pytest.raises(CodeRefused):
            codes.check(reader.id, wrong(reader))
    with pytest.raises(CodesLocked) as locked:
        codes.check(reader.id, code(reader, now()))
    assert timedelta(minutes=4) < locked.value.until - now() <= CODE_LOCK
    monkeypatch.setattr("jobs.reading.readers.now", lambda: now() + CODE_LOCK)
    codes.check(reader.id, code(reader, now()))
    assert readers.one(reader.id).totp_failures == ()


def test_a_lock_ends_once_the_oldest_of_the_wrong_codes_no_longer_counts(reader, codes, monkeypatch):
    begin = now()
    for minute in range(CODE_FAILURES):
        at = begin + timedelta(minutes=minute)
        monkeypatch.setattr("jobs.reading.readers.now", lambda at=at: at)
        with pytest.raises(CodeRefused):
            codes.check(reader.id, wrong(reader))
    with pytest.raises(CodesLocked) as locked:
        codes.check(reader.id, wrong(reader))
    assert abs(locked.value.until - begin - CODE_LOCK) < timedelta(seconds=1)


def test_no_more_codes_are_looked_at_than_may_fail_at_once(reader, ledger):
    processes = [Codes(Readers(ledger.records), SIGNING_KEY) for _ in range(4)]
    text = wrong(reader)

    def guess(number: int) -> type[Exception]:
        try:
            processes[number % 4].check(reader.id, text)
        except Exception as error:
            return type(error)
        return Exception

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(guess, range(12)))
    assert found.count(CodeRefused) == CODE_FAILURES
    assert found.count(CodesLocked) == 12 - CODE_FAILURES


def test_a_new_secret_ends_the_one_before(reader, codes, readers):
    after = readers.replace_totp(reader.id)
    assert totp_secret(SIGNING_KEY, after) != totp_secret(SIGNING_KEY, reader)
    at = now()
    with pytest.raises(CodeRefused):
        codes.check(reader.id, code(reader, at), at)
    codes.check(reader.id, code(after, at), at)


@pytest.mark.parametrize("text", ["", "12345", "1234567", "abcdef", "１２３４５６", "12345\x00"])
def test_a_text_that_is_no_code_is_refused(reader, codes, text: str):
    with pytest.raises(CodeRefused):
        codes.check(reader.id, text)


def test_readers_and_signing_keys_have_secrets_of_their_own(reader, readers):
    _, other = readers.create("Dr. Bert Joint", frozenset())
    secrets = {totp_secret(key, who) for key in (SIGNING_KEY, "another") for who in (reader, other)}
    assert len(secrets) == 4
