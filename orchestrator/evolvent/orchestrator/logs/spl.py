"""Writes a parsed query as SPL. Since it is written anew from its parts, nothing else can reach the server. Pure."""

from __future__ import annotations

from evolvent.storage.log_query import AllOf, AnyOf, Condition, Everything, FieldIs, LogQuery, Not, Phrase, PlacedIn


def spl(query: LogQuery, *, limit: int) -> str:
    """Return the search for Splunk, for `limit` results at most."""
    parts = ["search " + _condition(query.condition)]
    if query.count_by is not None:
        by = f" by {', '.join(query.count_by)}" if query.count_by else ""
        parts.append(f"stats count{by} | sort - count")
    parts.append(f"head {min(limit, query.head or limit)}")
    return " | ".join(parts)


def count_spl(query: LogQuery) -> str:
    """Return the search that counts what a query finds."""
    return f"search {_condition(query.condition)} | stats count"


def _condition(condition: Condition) -> str:
    match condition:
        case Phrase(text=text, is_prefix=is_prefix):
            return quoted(text, is_prefix=is_prefix)
        case FieldIs(name=name, value=value, is_prefix=is_prefix):
            return f"{name}={quoted(value, is_prefix=is_prefix)}"
        case PlacedIn(place=place, value=value):
            return f"{place}={quoted(value)}"
        case AllOf(parts=parts):
            return "(" + " AND ".join(map(_condition, parts)) + ")"
        case AnyOf(parts=parts):
            return "(" + " OR ".join(map(_condition, parts)) + ")"
        case Not(part=part):
            return f"NOT ({_condition(part)})"
        case Everything():
            return "*"


def quoted(text: str, *, is_prefix: bool = False) -> str:
    """Return a value in quotes, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}{"*" if is_prefix else ""}"'
