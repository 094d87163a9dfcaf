"""Builds vision_msgs and tf2_msgs in the environment of ROS, by ROS's own generators: PyPI has neither.

The definitions are those of our recordings. The environment's own Python runs this.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy

_DEFINITIONS = Path(__file__).parents[2] / "api/results/ros_definitions"
_WHOLE = {"tf2_msgs": "TFMessage", "vision_msgs": "Detection2DArray"}
_PREFIX = Path(sys.prefix)
_BETWEEN = "=" * 80 + "\n"
_OF_THE_WHEELS = "/opt/python/cp311-cp311"


def definitions(package: str) -> tuple[dict[str, str], list[str]]:
    """The definitions of a package's types by name, and the packages that they need."""
    name = _WHOLE[package]
    whole = f"MSG: {package}/{name}\n" + (_DEFINITIONS / f"{name}.msg").read_text()
    own, needed = {}, set()
    for part in whole.split(_BETWEEN):
        head, _, text = part.partition("\n")
        of, _, kind = head.removeprefix("MSG: ").strip().partition("/")
        if of == package:
            own[kind] = text
        else:
            needed.add(of)
    return own, sorted(needed)


def write_package(package: str, folder: Path) -> None:
    """Write the sources of a package, as `ament_cmake` takes them."""
    own, needed = definitions(package)
    (folder / "msg").mkdir(parents=True)
    for kind, text in own.items():
        (folder / f"msg/{kind}.msg").write_text(text)
    depends = "".join(f"<depend>{name}</depend>" for name in needed)
    (folder / "package.xml").write_text(
        f'<package format="3"><name>{package}</name><version>1.0.0</version>'
        "<description>Types for tests</description>"
        '<maintainer email="tests@example.org">Tests</maintainer><license>Apache-2.0</license>'
        "<buildtool_depend>ament_cmake</buildtool_depend>"
        f"<buildtool_depend>rosidl_default_generators</buildtool_depend>{depends}"
        "<member_of_group>rosidl_interface_packages</member_of_group></package>"
    )
    packages = ("ament_cmake", "rosidl_default_generators", *needed)
    files = " ".join(f"msg/{kind}.msg" for kind in own)
    (folder / "CMakeLists.txt").write_text(
        "\n".join(
            [
                "cmake_minimum_required(VERSION 3.8)",
                f"project({package})",
                *(f"find_package({name} REQUIRED)" for name in packages),
                f"rosidl_generate_interfaces({package} {files} DEPENDENCIES {' '.join(needed)})",
                "ament_package()",
                "",
            ]
        )
    )


def name_this_python() -> None:
    """Replace the paths of the machine on which the wheels were built by those of this environment."""
    paths = {
        f"{_OF_THE_WHEELS}/include/python3.11": sysconfig.get_paths()["include"],
        f"{_OF_THE_WHEELS}/lib/python3.11/site-packages/numpy/_core/include": numpy.get_include(),
    }
    for file in _PREFIX.glob("share/*/cmake/*.cmake"):
        before = after = file.read_text()
        for theirs, ours in paths.items():
            after = after.replace(theirs, ours)
        if after != before:
            file.write_text(after)


def build(package: str, folder: Path) -> None:
    """Build and install a package."""
    write_package(package, folder)
    environment = os.environ | {
        "PATH": f"{_PREFIX}/bin:{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": str(_PREFIX),
    }
    given = {
        "CMAKE_PREFIX_PATH": _PREFIX,
        "CMAKE_INSTALL_PREFIX": _PREFIX,
        "Python3_EXECUTABLE": sys.executable,
        "Python3_FIND_VIRTUALENV": "ONLY",
        "BUILD_TESTING": "OFF",
    }
    options = [f"-D{name}={value}" for name, value in given.items()]
    for step in (["-S", ".", "-B", "build", *options], ["--build", "build"], ["--install", "build"]):
        ran = subprocess.run(["cmake", *step], cwd=folder, env=environment, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{package} is not built: cmake {step[0]}\n{ran.stdout}{ran.stderr}")


if __name__ == "__main__":
    name_this_python()
    with tempfile.TemporaryDirectory() as sources:
        for package in _WHOLE:
            build(package, Path(sources) / package)
