import socket

import pytest

from jobs.callbacks.url import CallbackTarget, CallbackUrlRefused, origin_of, parse, resolve

NONE: frozenset[str] = frozenset()
DEVELOPMENT = frozenset({"127.0.0.1", "localhost"})


def test_a_public_https_address_is_taken_apart():
    assert parse("https://Clinic.example/a?b=1", NONE) == CallbackTarget(
        "https", "clinic.example", 443, "/a?b=1"
    )
    assert parse("https://clinic.example:8443", NONE).target == "/"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://clinic.example/",
        "javascript:alert(1)",
        "clinic.example/hook",
        "https://",
        "http://clinic.example/",
        "https://clinic.example:22/",
        "https://user:password@clinic.example/",  # pragma: allowlist secret
        "https://user@clinic.example/",
        "https://clinic.example/a b",
        "https://clinic.example/\r\nX: y",
        "https://clinic.example:99999/",
        "https://[::1/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://192.88.99.1/",
        "https://192.0.0.1/",
        "https://192.0.0.9/",
        "https://168.63.129.16/",
        "https://192.31.196.1/",
        "https://192.52.193.1/",
        "https://192.175.48.1/",
        "https://100.100.100.200/",
        "https://255.255.255.255/",
        "https://[::7f00:1]/",
        "https://[::ffff:0:a00:1]/",
        "https://[::ffff:0:5db8:d70e]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[100::1]/",
        "https://[4000::1]/",
        "https://[fd00:ec2::254]/",
        "https://[2001::1]/",
        "https://[2001:3::1]/",
        "https://[2001:4:112::1]/",
        "https://[2001:20::1]/",
        "https://[2001:db8::1]/",
        "https://[2620:4f:8000::1]/",
        "https://[2606:4700::5efe:a00:1]/",
        "https://[2606:4700::200:5efe:a00:1]/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://clinic..example/",
        "https://\u2603.example/",
        "https://clinic.example/\ud800",
        "https://clinic.example/" + "\u00e9" * 400,
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://[3fff::1]/",
        "https://[5f00::1]/",
        "https://[ff02::1]/",
        "https://224.0.0.1/",
        "https://" + "a" * 3000,
    ],
)
def test_what_may_not_be_called_is_refused(url):
    with pytest.raises(CallbackUrlRefused, match="callback_url"):
        parse(url, NONE)


@pytest.mark.parametrize(
    "url",
    [
        "https://[2606:4700:4700::1111]/",
        "https://[2001:4860:4860::8888]/",
        "https://[2a00:1450:4001::200e]/",
        "https://93.184.215.14/",
        "https://192.0.1.1/",
        "https://168.63.129.17/",
    ],
)
def test_a_public_address_may_be_called(url):
    assert parse(url, NONE).url == url


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://clinic.example/k\u00f6ln?ort=k\u00f6ln", "https://clinic.example/k%C3%B6ln?ort=k%C3%B6ln"),
        ("https://clinic.example/k%C3%B6ln?a=b&c=d%2Fe", "https://clinic.example/k%C3%B6ln?a=b&c=d%2Fe"),
        ('https://clinic.example/<a>"|{b}', "https://clinic.example/%3Ca%3E%22%7C%7Bb%7D"),
        ("https://K\u00f6ln.example:443/#part", "https://xn--kln-sna.example/"),
        ("https://fa\u00df.example/", "https://xn--fa-hia.example/"),
        ("https://clinic.example.:8443?a", "https://clinic.example:8443/?a"),
    ],
)
def test_a_url_is_stored_as_it_is_called_in_ascii(url, called):
    callback = parse(url, NONE)
    assert callback.url == called
    assert parse(called, NONE) == callback
    assert origin_of(called) == callback.origin


def test_development_hosts_may_be_called_over_http_on_any_port():
    callback = parse("http://127.0.0.1:9/hook", DEVELOPMENT)
    assert resolve(callback, DEVELOPMENT) == ["127.0.0.1"]


def test_a_name_that_leads_to_this_machine_is_refused_when_it_is_called():
    with pytest.raises(CallbackUrlRefused, match="public"):
        resolve(CallbackTarget("https", "localhost", 443, "/"), NONE)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "::ffff:7f00:1"]
)
def test_this_machine_in_any_spelling_is_refused_at_the_call_too(host):
    with pytest.raises(CallbackUrlRefused, match="public"):
        resolve(CallbackTarget("https", host, 443, "/"), NONE)


def test_one_bad_address_among_good_ones_is_refused(monkeypatch):
    name_leads_to(monkeypatch, "93.184.215.14", "10.0.0.7")
    with pytest.raises(CallbackUrlRefused, match="public"):
        resolve(parse("https://clinic.example/", NONE), NONE)


def test_a_name_that_is_bound_anew_is_judged_at_every_call(monkeypatch):
    callback = parse("https://clinic.example/", NONE)
    name_leads_to(monkeypatch, "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    assert resolve(callback, NONE) == ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    name_leads_to(monkeypatch, "127.0.0.1")
    with pytest.raises(CallbackUrlRefused, match="public"):
        resolve(callback, NONE)


def name_leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let the resolver answer so."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
