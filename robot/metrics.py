"""Counts events by outcome. `GET /metrics` of the receiver shows it to Prometheus."""

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()
EVENTS = Counter(
    "osteo_robot_events", "Verified events of targets, by outcome", ["outcome"], registry=REGISTRY
)
DROPPED = Counter(
    "osteo_robot_dropped",
    "Events that a transport could not give its peers while they were valid, or that a peer refused",
    ["transport"],
    registry=REGISTRY,
)
