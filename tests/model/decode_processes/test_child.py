"""The bounds of a decode process, as it sets them for itself."""

import resource

import pytest

from model.decode_processes.child import _Metered


def test_a_file_has_one_allowance_however_often_its_size_is_checked(monkeypatch: pytest.MonkeyPatch):
    ends = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, bounds: ends.append((kind, bounds[0])))
    limits = _Metered(50_000_000, seconds=4, begun=10.0)
    for _ in range(2):
        limits.check(5000, 5000)
    assert ends == [(resource.RLIMIT_CPU, 10 + 4 * 3)] * 2
