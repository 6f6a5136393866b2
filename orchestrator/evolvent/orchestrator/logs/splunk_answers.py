"""Reads Splunk's JSON answers. Pure. Numbers may come as text, and times as ISO or as seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evolvent.orchestrator.logs.errors import LogAnswerInvalid
from evolvent.orchestrator.logs.source import Check, IndexInfo, LicenseInfo, LogEvent, LogUser, SourcetypeInfo

Answer = Mapping[str, Any]
_MIB = 1024 * 1024


def results_of(answer: Answer) -> list[Answer]:
    """Return the results of a search.

    Raises:
        LogAnswerInvalid: If there are none in the answer, not even an empty list.
    """
    results = answer.get("results")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise LogAnswerInvalid("The log server answered a search without results; check its address and version.")
    return results


def entries_of(answer: Answer) -> list[tuple[str, Answer]]:
    """Return the names and contents of the entries that an endpoint listed.

    Raises:
        LogAnswerInvalid: If the answer has none of the form.
    """
    entries = answer.get("entry")
    if not isinstance(entries, list):
        raise LogAnswerInvalid("The log server's answer lists nothing; check that the address is its management port.")
    found = [one for one in entries if isinstance(one, dict) and isinstance(one.get("content"), dict)]
    return [(str(one.get("name", "")), one["content"]) for one in found]


def messages_of(answer: Answer) -> str:
    """Return what the server says of errors, on one line."""
    messages = answer.get("messages")
    texts = (
        [str(one.get("text", "")) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    )
    return " ".join(" ".join(texts).split())[:500]


def has_failed(answer: Answer) -> bool:
    """Say whether a search that was answered did not run: Splunk says so beside the results."""
    messages = answer.get("messages")
    kinds = (
        [str(one.get("type", "")) for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    )
    return any(kind.upper() in ("FATAL", "ERROR") for kind in kinds)


def event_of(result: Answer) -> LogEvent:
    """Return the event that a result is.

    Raises:
        LogAnswerInvalid: If it has no time.
    """
    time = time_of(result.get("_time"))
    if time is None:
        raise LogAnswerInvalid("The log server returned an event without a time; check the search.")
    named = {name: _text(result.get(name)) for name in ("index", "sourcetype", "source", "host")}
    return LogEvent(time=time, text=_text(result.get("_raw")), **named)


def row_of(result: Answer) -> dict[str, str | int]:
    """Return a row of `stats count`."""
    return {
        name: _number(value) if name == "count" else _text(value)
        for name, value in result.items()
        if not name.startswith("_")
    }


def count_of(results: Sequence[Answer]) -> int:
    """Return the number that `stats count` came to."""
    return _number(results[0].get("count")) if results else 0


def index_info(name: str, content: Answer) -> IndexInfo:
    """Return what `data/indexes` says of an index."""
    return IndexInfo(
        name=name,
        event_count=_number(content.get("totalEventCount")),
        earliest=time_of(content.get("minTime")),
        latest=time_of(content.get("maxTime")),
        size_bytes=_number(content.get("currentDBSizeMB")) * _MIB,
        disabled=_truth(content.get("disabled")),
    )


def sourcetype_info(result: Answer) -> SourcetypeInfo:
    """Return what `metadata type=sourcetypes` says of a sourcetype."""
    return SourcetypeInfo(
        name=_text(result.get("sourcetype")),
        event_count=_number(result.get("totalCount")),
        earliest=time_of(result.get("firstTime")),
        latest=time_of(result.get("lastTime")),
    )


def user_info(content: Answer) -> LogUser:
    """Return what `authentication/current-context` says. It does not say which indexes are open."""
    return LogUser(_text(content.get("username")), _texts(content.get("roles")), _texts(content.get("capabilities")))


def license_info(content: Answer) -> LicenseInfo:
    """Return what `server/info` says of the licence."""
    is_free = _truth(content.get("isFree"))
    edition = _text(content.get("activeLicenseGroup")) or ("Free" if is_free else "unknown")
    detail = "The free edition has no authentication, alerts or distributed search." if is_free else ""
    state = _text(content.get("licenseState")) or "unknown"
    return LicenseInfo(True, state, edition, is_trial=_truth(content.get("isTrial")), detail=detail)


def server_checks(content: Answer) -> tuple[Check, ...]:
    """Return what `server/info` says of the server's own health."""
    license_ = license_info(content)
    health = _text(content.get("health_info"))
    checks = [
        Check("server reached", is_ok=True, detail=_text(content.get("serverName"))),
        Check("licence", license_.state.upper() == "OK", f"{license_.state}, {license_.edition}"),
    ]
    if health:
        checks.append(Check("server's own health", health.lower() == "green", health))
    return tuple(checks)


def time_of(value: object) -> datetime | None:
    """Return a time that was sent as ISO text or as seconds since 1970; None for nothing, or for 0."""
    try:
        seconds = float(str(value))
    except ValueError:
        pass
    else:
        return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 1e11 else None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _number(value: object) -> int:
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return 0


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _truth(value: object) -> bool:
    return str(value).lower() in ("1", "true")
