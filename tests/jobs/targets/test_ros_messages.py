"""Times as ROS has them."""

from jobs.targets.ros_messages import ros_time


def test_a_time_that_ros_cannot_hold_is_unknown():
    end_ns = 2**31 * 10**9
    assert ros_time(end_ns - 1) == {"sec": 2**31 - 1, "nanosec": 999_999_999}
    assert ros_time(end_ns) == {"sec": 0, "nanosec": 0}
