"""Makes the outlets that the command line names. A package that an outlet needs is imported for it alone."""

import argparse
import os

from robot.outlet import Outlet


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every outlet."""
    parser.add_argument(
        "--mqtt", metavar="URL", help="an MQTT 5 broker: mqtts://host[:port], or mqtt:// on this machine"
    )
    parser.add_argument(
        "--mqtt-ca", metavar="FILE", help="the certificates that sign the broker's, in place of the system's"
    )
    parser.add_argument("--igtl", metavar="[HOST:]PORT", help="serve OpenIGTLink; the loopback without HOST")
    parser.add_argument("--ros", action="store_true", help="publish to ROS 2; needs rclpy")


def open_outlets(options: argparse.Namespace, client: str) -> list[Outlet]:
    """Open each outlet that the options name. Raises ValueError for an option that is wrong."""
    outlets: list[Outlet] = []
    if options.mqtt:
        from robot.mqtt.broker import broker_at
        from robot.mqtt.outlet import MqttOutlet

        outlets.append(MqttOutlet(broker_at(options.mqtt, options.mqtt_ca, os.environ), client))
    if options.igtl:
        from robot.igtl.outlet import IgtlOutlet

        try:
            outlets.append(IgtlOutlet(options.igtl))
        except (ValueError, OSError) as error:
            raise ValueError(f"--igtl {options.igtl}: {error}") from error
    if options.ros:
        try:
            from robot.ros.outlet import RosOutlet
        except ImportError as error:
            raise ValueError(f"--ros needs rclpy and its messages: {error}") from error

        outlets.append(RosOutlet())
    return outlets
