"""Says when a radiograph was taken whose file has a time without its zone, by the zone of its client."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo


def in_utc(acquisition: dict[str, Any], zone: ZoneInfo | None) -> dict[str, Any]:
    """Return what is known of an acquisition, with `acquired_at_s` in place of `acquired_local_s`.

    Both are in seconds since 1970. The time is left out where no zone is known, and where a change of clocks
    repeats or leaves out its hour.
    """
    geometry = dict(acquisition.get("geometry") or {})
    local_s = geometry.pop("acquired_local_s", None)
    if local_s is None:
        return acquisition
    if zone and (seconds := _utc_s(local_s, zone)) is not None:
        geometry["acquired_at_s"] = seconds
    others = {name: fact for name, fact in acquisition.items() if name != "geometry"}
    return others | ({"geometry": geometry} if geometry else {})


def _utc_s(local_s: float, zone: ZoneInfo) -> float | None:
    shown = datetime.fromtimestamp(local_s, UTC)
    first, second = (shown.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return round(first, 6) if first == second else None
