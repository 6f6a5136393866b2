"""When a log line was written, and by which host: ISO 8601, syslog, web servers, seconds since 1970. Pure.

Times without a zone are UTC. A line without a time belongs to the line before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_HEAD = 200
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_ISO = re.compile(r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)? ?(?:Z|[+-]\d\d:?\d\d(?!\d))?")
_SYSLOG = re.compile(r"(?:<\d{1,3}>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)")
_WEB = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-]\d\d)(\d\d)")
_APACHE = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d{1,6})? (\d{4})")
_EPOCH = re.compile(r"(?<![\d.])(1\d{9})(?:\.(\d{1,6}))?(?![\d.])")
_SYSLOG_HOST = re.compile(
    r"(?:<\d{1,3}>\d? ?)?(?:[A-Z][a-z]{2} {1,2}\d{1,2} [\d:]{8}|\d{4}-\d\d-\d\dT\S+) ([\w.:-]+) [^\s:\[]+[\[: ]"
)
_MICROSECOND = timedelta(microseconds=1)
_START = datetime(1970, 1, 1, tzinfo=UTC)


class LineTimes:
    """Reads the times of the lines of one file, in order.

    `written_at` is when the file was last written: it gives syslog's times their year, and is the time of lines
    before the first that has one.
    """

    def __init__(self, written_at: datetime, *, last_us: int | None = None) -> None:
        self._written_at = written_at
        self.last_us = microseconds(written_at) if last_us is None else last_us
        self._seen: tuple[str, int] = ("", 0)
        self._formats: list[tuple[re.Pattern[str], Callable[[re.Match[str]], datetime]]] = [
            (_ISO, lambda match: _iso(match[0])),
            (_SYSLOG, self._syslog),
            (_WEB, lambda match: _web(match)),
            (_APACHE, lambda match: _apache(match)),
            (_EPOCH, lambda match: datetime.fromtimestamp(float(match[0]), UTC)),
        ]

    def read(self, line: str) -> int:
        """Return the time of the next line, in microseconds since 1970."""
        head = line[:_HEAD]
        for position, (pattern, moment) in enumerate(self._formats):
            match = pattern.search(head)
            if match is None:
                continue
            if match[0] == self._seen[0]:
                self.last_us = self._seen[1]
                return self.last_us
            try:
                self.last_us = microseconds(moment(match))
            except (ValueError, OverflowError, KeyError):
                continue
            self._seen = (match[0], self.last_us)
            if position:  # a file keeps to one format, so the one that fitted is tried first
                self._formats.insert(0, self._formats.pop(position))
            break
        return self.last_us

    def _syslog(self, match: re.Match[str]) -> datetime:
        """Read a time without a year: the latest that is not in the file's future."""
        month, day, hour, minute, second = match.groups()
        latest = self._written_at + timedelta(days=1)
        for year in (latest.year, latest.year - 1, latest.year - 2, latest.year - 3, latest.year - 4):
            try:
                found = datetime(year, _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
            except ValueError:
                continue  # 29 February of another year
            if found <= latest:
                return found
        raise ValueError(match[0])


def host_of(line: str) -> str | None:
    """Return the host that a syslog line names."""
    match = _SYSLOG_HOST.match(line)
    return match[1] if match else None


def microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970."""
    return (moment - _START) // _MICROSECOND


def _iso(text: str) -> datetime:
    date, _, rest = text.replace("/", "-").replace(",", ".").partition(text[10])
    if len(rest) > 15 and "." in rest:  # fromisoformat takes six digits of a second
        rest = re.sub(r"(\.\d{6})\d+", r"\1", rest)
    moment = datetime.fromisoformat(f"{date}T{rest.replace(' ', '')}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _web(match: re.Match[str]) -> datetime:
    day, month, year, hour, minute, second, zone_hours, zone_minutes = match.groups()
    moment = datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    ahead = timedelta(hours=int(zone_hours), minutes=int(zone_hours[0] + zone_minutes))
    return moment - ahead


def _apache(match: re.Match[str]) -> datetime:
    month, day, hour, minute, second, year = match.groups()
    return datetime(int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), tzinfo=UTC)
