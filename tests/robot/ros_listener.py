"""A node of ROS 2 in the environment of ROS: it prints what it gets as lines of JSON.

Arguments: `transient_local` or `volatile`, then topics, each as TOPIC=PACKAGE/TYPE.
"""

import json
import sys
from importlib import import_module
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

_DEADLINE = Duration(seconds=2)


def plain(value: Any) -> Any:
    """A message as JSON has it."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if isinstance(value, bytes):
        return value[0]
    if isinstance(value, str | int | float):
        return value
    return [plain(item) for item in (value.tolist() if hasattr(value, "tolist") else value)]


def tell(topic: str, what: Any) -> None:
    print(json.dumps([topic, what]), flush=True)


def main() -> None:
    durability, *topics = sys.argv[1:]
    rclpy.init()
    node = Node("listener")
    quality = QoSProfile(
        depth=10,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy[durability.upper()],
    )
    subscriptions = []
    for topic, _, kind in (item.partition("=") for item in topics):
        package, _, name = kind.partition("/")
        wanted, events = quality, None
        if topic == "/diagnostics":
            wanted = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, deadline=_DEADLINE)
            events = SubscriptionEventCallbacks(deadline=lambda _: tell("deadline", "missed"))
        subscriptions.append(
            node.create_subscription(
                getattr(import_module(f"{package}.msg"), name),
                topic,
                lambda message, topic=topic: tell(topic, plain(message)),
                wanted,
                event_callbacks=events,
            )
        )
    tell("ready", None)
    rclpy.spin(node)


main()
