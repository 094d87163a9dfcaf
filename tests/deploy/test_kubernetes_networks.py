"""The network policies of deploy/kubernetes let through what Compose's networks do, and not more."""

import ipaddress
from itertools import product
from typing import Any

import pytest

from jobs.callbacks import url
from tests.compose.test_compose_files import COMPOSE, SERVICES
from tests.deploy.manifests import Object, build, container, labels, named, of_kind, selected, workloads

SMALL = build("overlays/small")
NAMESPACE = "kubernetes.io/metadata.name"
LISTENS = {"api": 8000, "proxy": 8080, "flower": 5555, "redis": 6379, "seaweedfs": 8333}
CALLS = {("proxy", "api"), ("seaweedfs", "seaweedfs")}
"""Who calls whom, beside those who are in a network with a store."""


def policies_of(name: str, direction: str) -> list[Object]:
    """The rules of this direction, `Ingress` or `Egress`, that hold for the pods of a workload."""
    return [
        rule
        for policy in of_kind(SMALL, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"]
        and name in selected(policy["spec"]["podSelector"], SMALL)
        for rule in policy["spec"].get(direction.lower(), [])
    ]


def opens(rule: Object, peers: str, other: str, port: int, at: str) -> bool:
    """Whether a rule lets `other` through, at a port of the workload `at`."""
    numbers = {p["name"]: p["containerPort"] for p in container(workloads(SMALL)[at]).get("ports", [])}
    ports = {numbers.get(p["port"], p["port"]) for p in rule.get("ports", [])}
    inside = [peer["podSelector"] for peer in rule.get(peers, []) if "podSelector" in peer]
    among = peers not in rule or any(other in selected(selector, SMALL) for selector in inside)
    return among and (not ports or port in ports)


def reaches(caller: str, called: str) -> bool:
    port = LISTENS[called]
    out = any(opens(rule, "to", called, port, called) for rule in policies_of(caller, "Egress"))
    into = any(opens(rule, "from", caller, port, called) for rule in policies_of(called, "Ingress"))
    return out and into


@pytest.mark.parametrize(("caller", "called"), list(product(SERVICES, LISTENS)))
def test_a_part_reaches_another_where_compose_has_both_in_one_network(caller: str, called: str):
    shared = set(SERVICES[caller]["networks"]) & set(SERVICES[called]["networks"])
    to_store = called in ("redis", "seaweedfs") and bool(shared) and caller not in ("redis", "seaweedfs")
    assert reaches(caller, called) is (to_store or (caller, called) in CALLS)
    assert shared or not reaches(caller, called)


@pytest.mark.parametrize(("network", "store"), [("queue", "redis"), ("objects", "seaweedfs")])
def test_a_label_says_who_is_in_an_internal_network(network: str, store: str):
    members = {n for n, w in workloads(SMALL).items() if f"osteo.network/{network}" in labels(w)}
    assert members == {n for n, s in SERVICES.items() if network in s["networks"]} - {store}
    assert COMPOSE["networks"][network]["internal"]


def blocks(objects: list[Object]) -> dict[str, list[dict[str, Any]]]:
    """The ranges of addresses outside the cluster that each policy opens, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for policy in of_kind(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            found.setdefault(policy["metadata"]["name"], []).extend(
                peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer
            )
    return {name: ranges for name, ranges in found.items() if ranges}


def test_delivery_alone_calls_hosts_outside():
    assert set(blocks(SMALL)) == {"names", "receivers"}
    assert [block["cidr"] for block in blocks(SMALL)["names"]] == ["169.254.20.10/32"]
    policy = named(SMALL, "NetworkPolicy", "receivers")
    assert selected(policy["spec"]["podSelector"], SMALL) == {"delivery"}
    assert "outside" in SERVICES["delivery"]["networks"]


def test_what_compose_has_outside_calls_out_or_is_called():
    metrics = named(SMALL, "NetworkPolicy", "metrics")["spec"]["ingress"]
    into = {name for name in SERVICES if policies_of(name, "Ingress") not in ([], metrics)}
    into -= {"redis", "seaweedfs"}
    # Flower's port is published to its own machine alone, which is `kubectl port-forward` here.
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert into | {"delivery", "flower"} == outside


def test_prometheus_and_dns_alone_are_reached_in_other_namespaces():
    found = {
        (policy["metadata"]["name"], direction, peer["namespaceSelector"]["matchLabels"][NAMESPACE])
        for policy in of_kind(SMALL, "NetworkPolicy")
        for direction, peers in (("ingress", "from"), ("egress", "to"))
        for rule in policy["spec"].get(direction, [])
        for peer in rule.get(peers, [])
        if "namespaceSelector" in peer
    }
    assert found == {
        ("names", "egress", "kube-system"),
        ("api", "ingress", "monitoring"),
        ("metrics", "ingress", "monitoring"),
    }
    assert selected(named(SMALL, "NetworkPolicy", "api")["spec"]["podSelector"], SMALL) == {"api"}


def test_the_proxy_alone_is_reached_from_outside_and_no_part_reaches_all():
    open_to_all = {name for name in SERVICES for rule in policies_of(name, "Ingress") if not rule.get("from")}
    assert open_to_all == {"proxy"}
    assert all(rule.get("to") for name in SERVICES for rule in policies_of(name, "Egress"))


def test_before_an_operator_sets_them_the_stores_are_nowhere():
    example = ipaddress.ip_network("192.0.2.0/24")
    for name in ("queue", "objects"):
        (block,) = blocks(build("base"))[name]
        assert ipaddress.ip_network(block["cidr"]).subnet_of(example)


def test_receivers_have_the_ports_and_addresses_that_callbacks_may_have():
    policy = named(SMALL, "NetworkPolicy", "receivers")
    (rule,) = policy["spec"]["egress"]
    assert {p["port"] for p in rule["ports"]} == url._PORTS
    four, six = (block["ipBlock"] for block in rule["to"])
    assert (four["cidr"], six["cidr"]) == ("0.0.0.0/0", str(url._UNICAST_IPV6))
    closed = [ipaddress.ip_network(text) for block in (four, six) for text in block["except"]]
    for network in url._NOT_PUBLIC:
        assert any(network.version == c.version and network.subnet_of(c) for c in closed), network
    for network in closed:
        first, last = (
            network[1 if network.num_addresses > 1 else 0],
            network[-2 if network.num_addresses > 2 else 0],
        )
        for address in (first, last):
            with pytest.raises(url.CallbackUrlRefused):
                url._refuse_unless_public(
                    url.parse("https://example.org", frozenset()), str(address), frozenset()
                )
    private = (
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "255.255.255.255",
    )
    for text in private:
        assert any(ipaddress.ip_address(text) in c for c in closed), text
