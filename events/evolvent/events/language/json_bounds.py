"""Bounds on JSON values that users, models and tools hand in: what it is made of, how much, how deep."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_NODES = 300_000
MAX_DEPTH = 100
MAX_TEXT = 8_000_000
"""Characters of all strings and keys of a value together."""


class BadJson(ValueError):
    """The value is no JSON, or too much of it; the message says which."""


def measure(value: object, *, max_nodes: int = MAX_NODES, max_depth: int = MAX_DEPTH) -> int:
    """Return how many nodes a value has, counting shared parts as often as they appear.

    Raises:
        BadJson: it holds something that JSON cannot, or is larger or deeper than allowed.
    """
    nodes = text = 0
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        part, depth = stack.pop()
        nodes += 1
        text += len(part) if isinstance(part, str) else 0
        if nodes > max_nodes or text > MAX_TEXT:
            raise BadJson(f"is larger than {max_nodes} values or {MAX_TEXT} characters")
        if isinstance(part, dict | list | tuple):
            if depth >= max_depth:
                raise BadJson(f"is nested deeper than {max_depth}")
            if nodes + len(part) > max_nodes:
                raise BadJson(f"is larger than {max_nodes} values")
            text += _keys(part) if isinstance(part, dict) else 0
            stack.extend((child, depth + 1) for child in (part.values() if isinstance(part, dict) else part))
        elif not _is_scalar(part):
            raise BadJson(f"holds {part!r:.60}, a {type(part).__name__}, which JSON has not")
    return nodes


def structured(value: object) -> object:
    """Return the JSON that a text holds, also inside a Markdown fence; anything else as it is."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return value
    text = value.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") : -3].strip()
    if text[:1] not in ("{", "["):
        return value
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return value
    return parsed


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int)


def _keys(value: dict[Any, Any]) -> int:
    for key in value:
        if not isinstance(key, str):
            raise BadJson(f"has the key {key!r:.60}; keys are strings, so quote it")
    return sum(map(len, value))


def _refuse(constant: str) -> float:
    raise ValueError(constant)
