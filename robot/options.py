"""Opens the transports that the command line names, and imports the packages of these alone."""

import argparse
import os

from robot.transport import Transport


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every transport."""
    parser.add_argument(
        "--mqtt", metavar="URL", help="an MQTT 5 broker: mqtts://host[:port], or mqtt:// on this machine"
    )
    parser.add_argument(
        "--mqtt-ca", metavar="FILE", help="the certificates that sign the broker's, in place of the system's"
    )
    parser.add_argument("--igtl", metavar="[HOST:]PORT", help="serve OpenIGTLink; the loopback without HOST")
    parser.add_argument("--ros", action="store_true", help="publish to ROS 2; needs rclpy")


def open_transports(options: argparse.Namespace, client: str) -> list[Transport]:
    """Open each transport that the options name. Raises ValueError for an option that is wrong."""
    transports: list[Transport] = []
    if options.mqtt:
        from robot.mqtt.broker import broker_at
        from robot.mqtt.transport import MqttTransport

        transports.append(MqttTransport(broker_at(options.mqtt, options.mqtt_ca, os.environ), client))
    if options.igtl:
        from robot.igtl.transport import IgtlTransport

        try:
            transports.append(IgtlTransport(options.igtl))
        except (ValueError, OSError) as error:
            raise ValueError(f"--igtl {options.igtl}: {error}") from error
    if options.ros:
        try:
            from robot.ros.transport import RosTransport
        except ImportError as error:
            raise ValueError(f"--ros needs rclpy and its messages: {error}") from error

        transports.append(RosTransport())
    return transports
