"""Makes the outlets that the command line names. A package that an outlet needs is imported for it alone."""

import argparse

from robot.outlet import Outlet


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every outlet."""
    parser.add_argument("--mqtt", metavar="URL", help="the MQTT 5 broker: mqtts://host:port, or mqtt://")
    parser.add_argument("--igtl", metavar="[HOST:]PORT", help="serve OpenIGTLink; the loopback without HOST")


def open_outlets(options: argparse.Namespace, client: str) -> list[Outlet]:
    """Open each outlet that the options name. Raises ValueError for an address of another form."""
    outlets: list[Outlet] = []
    if options.mqtt:
        from robot.mqtt import MqttOutlet

        outlets.append(MqttOutlet(options.mqtt, client))
    if options.igtl:
        from robot.igtl import IgtlOutlet

        outlets.append(IgtlOutlet(options.igtl))
    return outlets
