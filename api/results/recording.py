"""Writes the targets of a job as an MCAP file, so that ROS tools can replay an incident."""

import io
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.targets.documents import MEDIA_TYPE, TargetsDocument
from jobs.targets.freshness import moment_ns
from jobs.targets.ros_messages import left_ns_of, ros_messages

MCAP = "application/x-mcap"
DEFINITIONS = Path(__file__).with_name("ros_definitions")
"""The definitions of the messages: a file for each type, with the types that it is made of."""


def recording_of(document: TargetsDocument) -> bytes:
    """Return an MCAP file of profile `ros2`: the ROS messages of a document, and itself as an attachment.

    Messages are logged at `produced_at`; their own stamp is that of the acquisition. Nothing is compressed.
    Raises Problem 406 where the service runs without the packages of the extra `mcap`.
    """
    if find_spec("mcap_ros2") is None:
        raise Problem(Slug.NOT_ACCEPTABLE, "This service runs without mcap-ros2-support, and writes no MCAP.")
    from mcap.writer import CompressionType
    from mcap_ros2.writer import Writer

    file = io.BytesIO()
    logged_ns = moment_ns(document["produced_at"])
    with Writer(file, compression=CompressionType.NONE) as writer:
        for message in ros_messages(document, left_ns_of(document)):
            schema = writer.register_msgdef(message.kind, _definition(message.kind))
            topic = message.topic_of("/osteo")
            writer.write_message(topic, schema, message.fields, logged_ns, sequence=document["sequence"])
        whole = json.dumps(document).encode()
        writer.add_attachment(logged_ns, logged_ns, "targets.json", f"{MEDIA_TYPE}; version=1", whole)
    return file.getvalue()


@cache
def _definition(kind: str) -> str:
    return (DEFINITIONS / f"{kind.rpartition('/')[2]}.msg").read_text()
