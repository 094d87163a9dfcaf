"""Reads the hours in which a reader is told of nothing but urgent readings."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

_FORM = re.compile(r"([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d) ([A-Za-z][A-Za-z0-9_+/-]{0,63})")


@dataclass(frozen=True)
class QuietHours:
    """The hours from `begin` to `end` of each day by the clocks of `zone`; they may go past midnight."""

    begin: time
    end: time
    zone: ZoneInfo

    def until(self, at: datetime) -> datetime | None:
        """Return when the quiet hours that `at` lies in end, in UTC; None where it lies in none."""
        local = at.astimezone(self.zone)
        clock = local.timetz().replace(tzinfo=None)
        past_midnight = self.end <= self.begin
        if (
            not (self.begin <= clock or clock < self.end)
            if past_midnight
            else not self.begin <= clock < self.end
        ):
            return None
        day = local.date() + timedelta(days=1 if past_midnight and clock >= self.begin else 0)
        return datetime.combine(day, self.end, self.zone).astimezone(at.tzinfo)


def quiet_hours(text: str) -> QuietHours:
    """Return what a text such as `22:00-07:00 Europe/Berlin` says. Raises ValueError."""
    found = _FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        begin, end = (time.fromisoformat(found[number]) for number in (1, 2))
        zone = ZoneInfo(found[3])
        if begin == end:
            raise ValueError(text)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError.
        example = "22:00-07:00 Europe/Berlin"
        raise ValueError(f"{text!r} are no quiet hours; write them as {example!r}") from error
    return QuietHours(begin, end, zone)
