"""Values in script texts: `{{ path | filter: argument }}`. Nothing is evaluated; a path only looks things up.

Paths: `user` (the last user message), `first_user`, `system`, `model`, `match.name` (named groups of the rule's
regular expressions), `tool.0.result.cpu_percent` (the first tool result, as data), `tool.last.text` (the latest,
as text), `tool.search_logs.result` (the latest of that tool), `tool.0.arguments.path`. `*` goes into each
item of a list: `tool.0.result.matches.*.text`. `a or b` takes the first path that leads somewhere.

Filters: `default: text`, `optional` (leaves the member out where the path leads nowhere), `json`, `count`,
`first: n`, `lines: n` (a list or mapping, one line per item), `join: text`, `round: n`, `numbers` (all numbers
in a text; `numbers: ms=` those that follow "ms="), `truncate: n`, `lower`.

A path that leads nowhere shows as `(no tool.0.result.x)`, so that a wrong script is seen and not guessed at.
A value that is one single `{{ … }}` keeps its type, so that lists and numbers can be handed to tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_HOLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,2})?"


@dataclass(frozen=True)
class _Missing:
    path: str
    optional: bool = False


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Return a template with its holes filled; lists and mappings are filled item by item."""
    if isinstance(template, dict):
        filled = {key: _filled(item, values) for key, item in template.items()}
        return {key: _shown_missing(item) for key, item in filled.items() if not _is_left_out(item)}
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    return _shown_missing(_filled(template, values))


def problems(template: Any) -> list[str]:
    """Return what is wrong with a template before it is ever used: unknown filters."""
    if isinstance(template, dict | list):
        items = template.values() if isinstance(template, dict) else template
        return [problem for item in items for problem in problems(item)]
    if not isinstance(template, str):
        return []
    names = [part.partition(":")[0].strip() for hole in _HOLE.findall(template) for part in hole.split("|")[1:]]
    return [f"no filter is called {name!r}" for name in names if name not in _FILTERS and name != "default"]


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, dict | list):
        return fill(template, values)
    if not isinstance(template, str) or "{{" not in template:
        return template
    if (only := _HOLE.fullmatch(template.strip())) and "}}" not in only[1]:
        return _hole(only[1], values)
    return _HOLE.sub(lambda hole: _text(_hole(hole[1], values)), template)


def _hole(expression: str, values: Mapping[str, Any]) -> Any:
    path, *filters = (part.strip() for part in expression.split("|"))
    paths = re.split(r"\s+or\s+", path)
    found = (_look_up(each, values) for each in paths)
    value = next((each for each in found if not isinstance(each, _Missing)), _Missing(paths[0]))
    for each in filters:
        name, _, argument = each.partition(":")
        value = _filtered(value, name.strip(), argument.strip().strip("'\""))
    return value


def _look_up(path: str, values: Any) -> Any:
    value, steps = values, path.split(".")
    for at, step in enumerate(steps):
        if step == "*" and isinstance(value, list):
            rest = ".".join(steps[at + 1 :])
            found = [_look_up(rest, item) if rest else item for item in value]
            return [item for item in found if not isinstance(item, _Missing)]
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _Missing(path)
    return value


def _filtered(value: Any, name: str, argument: str) -> Any:
    if name == "default":
        return argument if isinstance(value, _Missing) or value in (None, "", [], {}) else value
    if isinstance(value, _Missing):
        return replace(value, optional=True) if name == "optional" else value
    return _FILTERS[name](value, argument)


def _count(value: Any, _argument: str) -> int:
    return len(value) if isinstance(value, list | dict) else 1


def _first(value: Any, argument: str) -> Any:
    return value[: _whole_number(argument, 1)] if isinstance(value, list | str) else value


def _lines(value: Any, argument: str) -> str:
    if isinstance(value, dict):
        value = [{key: item} for key, item in value.items()]
    items = value if isinstance(value, list) else _text(value).splitlines()
    return "\n".join(f"- {_text(item)}" for item in items[: _whole_number(argument, len(items))])


def _join(value: Any, argument: str) -> str:
    return argument.join(map(_text, value)) if isinstance(value, list) else _text(value)


def _round(value: Any, argument: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(value, _whole_number(argument, 0) or None) if is_number else value


def _numbers(value: Any, argument: str) -> list[int | float]:
    found = re.findall(rf"{re.escape(argument)}({_NUMBER})", _text(value))
    return [int(text) if text.lstrip("-").isdecimal() else float(text) for text in found]


def _truncate(value: Any, argument: str) -> str:
    text, longest = _text(value), _whole_number(argument, 200)
    return text if len(text) <= longest else text[:longest].rstrip() + "…"


def _json(value: Any, _argument: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _unchanged(value: Any, _argument: str) -> Any:
    return value


def _lower(value: Any, _argument: str) -> str:
    return _text(value).lower()


_FILTERS: Mapping[str, Callable[[Any, str], Any]] = {
    "count": _count,
    "first": _first,
    "join": _join,
    "json": _json,
    "lines": _lines,
    "lower": _lower,
    "numbers": _numbers,
    "optional": _unchanged,
    "round": _round,
    "truncate": _truncate,
}


def _whole_number(argument: str, otherwise: int) -> int:
    return int(argument) if argument.isdecimal() else otherwise


def _is_left_out(value: Any) -> bool:
    return isinstance(value, _Missing) and value.optional


def _shown_missing(value: Any) -> Any:
    return _text(value) if isinstance(value, _Missing) else value


def _text(value: Any) -> str:
    if isinstance(value, _Missing):
        return f"(no {value.path})"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
