"""Pure: failures of ended runs, sorted into patterns: the same category, code, part and message but for its values.

    ended runs ──failures_of──▶ failures ──merged──▶ patterns ──trend_of──▶ new | rising | steady | falling | quiet

A run that failed counts once, under what failed in it: the model or the tool whose code it ended with, else its agent
or workflow. A turn or call that failed in a run that went on counts too, without failing a run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from evolvent.events.errors import Category, ErrorInfo
from evolvent.storage.insight_rows import EndedRun, EndedRuns, FailurePattern, PartOfRun

Trend = Literal["new", "rising", "steady", "falling", "quiet"]
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_KEPT_HOURS = timedelta(days=8)
_KEPT_RUNS, _KEPT_GOALS = 10, 20
_MESSAGE_CHARACTERS = 200
_VALUES = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`"), "<text>"),
    (re.compile(r"(?<![\w<])(?:[\w.~-]*/){2,}[\w.~-]*"), "<path>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"[-+]?\d+(?:[.,]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_BY_WORD: Sequence[tuple[str, Category]] = (
    ("timeout", Category.TIMEOUT),
    ("too_long", Category.TIMEOUT),
    ("denied", Category.PERMISSION),
    ("permission", Category.PERMISSION),
    ("budget", Category.RESOURCE),
    ("quota", Category.RESOURCE),
    ("rate_limited", Category.RESOURCE),
    ("busy", Category.RESOURCE),
    ("no_room", Category.RESOURCE),
    ("unavailable", Category.NETWORK),
    ("unreachable", Category.NETWORK),
    ("bad_response", Category.NETWORK),
    ("invalid", Category.VALIDATION),
    ("refused", Category.VALIDATION),
    ("bad_arguments", Category.VALIDATION),
    ("tool.", Category.TOOL),
    ("agent.", Category.AGENT),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed in a run, so many times; `ended_run` where the run failed by it."""

    run_id: str
    goal: str
    at: datetime
    category: str
    code: str
    kind: str
    subject: str
    message: str = ""
    times: int = 1
    ended_run: bool = False

    @property
    def pattern_id(self) -> str:
        """Return the id of the pattern that it belongs to."""
        key = "\x1f".join((self.category, self.code, self.kind, self.subject, self.message))
        return hashlib.sha256(key.encode()).hexdigest()[:16]


def normalised(message: str) -> str:
    """Return a message without its values, so that messages that differ in them only are the same."""
    text = message[: 4 * _MESSAGE_CHARACTERS]
    for value, mark in _VALUES:
        text = value.sub(mark, text)
    return text.strip()[:_MESSAGE_CHARACTERS]


def category_of(code: str) -> Category:
    """Return the category that a code speaks of, where nothing else tells it."""
    return next((category for word, category in _BY_WORD if word in code), Category.SYSTEM)


def failures_of(ended: EndedRuns) -> list[Failure]:
    """Return what failed in live runs, in their order."""
    turns, calls = _by_run(ended.turns), _by_run(ended.failed_calls)
    found: list[Failure] = []
    for run in ended.runs:
        if run.mode == "live":
            failed = [part for part in turns.get(run.run_id, ()) if part.error_code]
            found += _failures(run, failed, calls.get(run.run_id, []))
    return found


def merged(known: Mapping[str, FailurePattern], failures: Iterable[Failure]) -> list[FailurePattern]:
    """Return the patterns that these failures belong to, with them counted in."""
    found: dict[str, FailurePattern] = {}
    for failure in failures:
        pattern_id = failure.pattern_id
        pattern = found.get(pattern_id) or known.get(pattern_id) or _empty(failure, pattern_id)
        found[pattern_id] = _with(pattern, failure)
    return list(found.values())


def trend_of(pattern: FailurePattern, now: datetime) -> Trend:
    """Return how the last 24 hours stand to the 24 before: rising and falling mean by half, and by two failures."""
    latest = _between(pattern, now - _DAY, now + _HOUR)
    if latest == 0:
        return "quiet"
    if pattern.first_seen > now - _DAY:
        return "new"
    earlier = _between(pattern, now - 2 * _DAY, now - _DAY)
    if latest >= max(earlier * 1.5, earlier + 2):
        return "rising"
    return "falling" if earlier >= max(latest * 1.5, latest + 2) else "steady"


def failures_since(pattern: FailurePattern, since: datetime) -> int:
    """Return how often it failed since a moment, by whole hours."""
    return sum(count for hour, count in pattern.hours.items() if hour + _HOUR > since)


def hour_of(moment: datetime) -> datetime:
    """Return the hour that a moment lies in."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _between(pattern: FailurePattern, start: datetime, end: datetime) -> int:
    return sum(count for hour, count in pattern.hours.items() if start < hour + _HOUR <= end)


def _by_run(parts: Iterable[PartOfRun]) -> dict[str, list[PartOfRun]]:
    found: dict[str, list[PartOfRun]] = {}
    for part in parts:
        found.setdefault(part.run_id, []).append(part)
    return found


def _failures(run: EndedRun, turns: Sequence[PartOfRun], calls: Sequence[PartOfRun]) -> list[Failure]:
    parts = [(*_named(part), part) for part in turns] + [("tool", part.name, part) for part in calls]
    error = _error(run) if run.status == "failed" else None
    found: list[Failure] = []
    if error is not None:
        kind, subject = _blamed(run, error, parts)
        found.append(
            Failure(
                *(run.run_id, run.goal, run.finished_at, error.category.value, error.code, kind, subject),
                message=normalised(error.message),
                ended_run=True,
            )
        )
    for kind, name, part in parts:
        code = part.error_code or ""
        is_counted = error is not None and (kind, name, code) == (found[0].kind, found[0].subject, error.code)
        times = part.times - int(is_counted)
        if times > 0:
            category = category_of(code).value
            found.append(Failure(run.run_id, run.goal, part.last_at, category, code, kind, name, times=times))
    return found


def _named(turn: PartOfRun) -> tuple[str, str]:
    """Return what a turn that failed is counted under: its model, or its agent where none was leased."""
    return ("model", turn.name) if turn.name else ("agent", turn.agent_id or "-")


def _blamed(run: EndedRun, error: ErrorInfo, parts: Sequence[tuple[str, str, PartOfRun]]) -> tuple[str, str]:
    for kind, name, part in reversed(parts):
        if part.error_code == error.code:
            return kind, name
    return ("agent", run.agent_id) if run.agent_id else ("workflow", run.workflow or "-")


def _error(run: EndedRun) -> ErrorInfo:
    try:
        return ErrorInfo.model_validate_json(run.error or "")
    except ValidationError:
        return ErrorInfo(code="internal", category=Category.SYSTEM, message="")


def _empty(failure: Failure, pattern_id: str) -> FailurePattern:
    return FailurePattern(
        *(pattern_id, failure.category, failure.code, failure.kind, failure.subject, failure.message, 0, 0),
        first_seen=failure.at,
        last_seen=failure.at,
        goals={},
        runs=(),
        hours={},
    )


def _with(pattern: FailurePattern, failure: Failure) -> FailurePattern:
    last_seen = max(pattern.last_seen, failure.at)
    hours = {hour: count for hour, count in pattern.hours.items() if hour > last_seen - _KEPT_HOURS}
    hour = hour_of(failure.at)
    goals = {**pattern.goals, failure.goal: pattern.goals.get(failure.goal, 0) + failure.times}
    most = sorted(goals, key=lambda goal: (-goals[goal], goal))[:_KEPT_GOALS]
    others = tuple(run_id for run_id in pattern.runs if run_id != failure.run_id)
    return replace(
        pattern,
        failures=pattern.failures + failure.times,
        failed_runs=pattern.failed_runs + int(failure.ended_run),
        first_seen=min(pattern.first_seen, failure.at),
        last_seen=last_seen,
        goals={goal: goals[goal] for goal in most},
        runs=(failure.run_id, *others)[:_KEPT_RUNS],
        hours={**hours, hour: hours.get(hour, 0) + failure.times},
    )
