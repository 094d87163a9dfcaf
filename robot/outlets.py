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


def open_outlets(options: argparse.Namespace, client: str) -> list[Outlet]:
    """Open each outlet that the options name. Raises ValueError for an address of another form."""
    outlets: list[Outlet] = []
    if options.mqtt:
        from robot.mqtt.broker import broker_at
        from robot.mqtt.outlet import MqttOutlet

        outlets.append(MqttOutlet(broker_at(options.mqtt, options.mqtt_ca, os.environ), client))
    if options.igtl:
        from robot.igtl import IgtlOutlet

        outlets.append(IgtlOutlet(options.igtl))
    return outlets
