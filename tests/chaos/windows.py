"""Kills a process at a chosen moment: before or after one call of the project's code."""

import http.client
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Window:
    """A process of `role` dies "before" or "after" (`when`) a call of `target` ("module:name") that fits."""

    name: str
    role: str
    target: str
    when: str
    fits: Callable[..., bool] = lambda *_, **__: True

    @property
    def slug(self) -> str:
        """Its name, as that of a file."""
        return self.name.replace(" ", "-").replace("'", "")


def _key(part: str) -> Callable[..., bool]:
    return lambda _, key, *__, **___: part in key


def _result(_: object, key: str, body: bytes) -> bool:
    return b'"state":"succeeded"' in body and b'"delivery_attempts":0' in body


def _receiver(connection: object) -> bool:
    return type(connection) is http.client.HTTPConnection  # and not botocore's, which is made of it


OBJECTS = "jobs.store.objects:Objects"
STAND_IN = "tests.chaos.stand_in:StandIn"
WINDOWS = (
    Window("after the marker", "api", f"{OBJECTS}.put", "after", _key("pending/")),
    Window("after the image is stored", "api", f"{OBJECTS}.put", "after", _key("clients/")),
    Window("after the enqueue", "api", "jobs.redis.queue:JobQueue.send", "after"),
    Window("popped but not recorded", "inference", "worker.inference.analyse:_take", "before"),
    Window("before inference", "inference", f"{STAND_IN}.run", "before"),
    Window("after inference", "inference", f"{STAND_IN}.run", "after"),
    Window("before the result is stored", "inference", f"{OBJECTS}.put_new", "before", _result),
    Window("after the result is stored", "inference", f"{OBJECTS}.put_new", "after", _result),
    Window(
        "before the callback's answer",
        "delivery",
        "http.client:HTTPConnection.getresponse",
        "before",
        _receiver,
    ),
    Window("after the callback's answer", "delivery", "worker.delivery.deliver:_after", "before"),
)


def prepare(window: Window, folder: Path) -> None:
    """Let this process die when it comes to `window` after `arm` was called: one process, once."""
    module, _, path = window.target.partition(":")
    owner: Any = import_module(module)
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    original = getattr(owner, name)

    def die() -> None:
        with suppress(FileNotFoundError):
            # One process alone can do this, and its moment is the file's.
            os.rename(_armed(window, folder), _fired(window, folder))
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(*arguments: Any, **named: Any) -> Any:
        fits = window.fits(*arguments, **named)
        if fits and window.when == "before":
            die()
        answer = original(*arguments, **named)
        if fits and window.when == "after":
            die()
        return answer

    setattr(owner, name, watched)


def arm(window: Window, folder: Path) -> None:
    """The next process that comes to `window` dies there."""
    _fired(window, folder).unlink(missing_ok=True)
    _armed(window, folder).touch()


def fired(window: Window, folder: Path) -> bool:
    """Whether one has died there since it was armed."""
    return _fired(window, folder).exists()


def _armed(window: Window, folder: Path) -> Path:
    return folder / f"armed-{window.slug}"


def _fired(window: Window, folder: Path) -> Path:
    return folder / f"fired-{window.slug}"
