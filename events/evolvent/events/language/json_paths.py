r"""Paths into JSON values: `name.other[0]["key with dots"]`. Only keys and indexes, no code."""

from __future__ import annotations

import re

from evolvent.events.language.json_bounds import structured

_PART = re.compile(r"""\.?([A-Za-z0-9_\-@$:/]+)|\[(-?[0-9]{1,9})\]|\[("[^"\\\]]*"|'[^'\\\]]*')\]""")
Path = tuple[str | int, ...]


class NoSuchPart(LookupError):
    """The value has no such part; `args` hold the path as far as it could not be followed, and why."""


def parse_path(text: str) -> Path:
    """Return a path's keys and indexes.

    Raises:
        ValueError: it is no path.
    """
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or len(parts) >= 100 or (text[position] not in ".[" and position):
            raise ValueError(f"{text!r:.200} is no path; write name.other[0]")
        name, index, quoted = match.groups()
        if name is not None:
            if text[position] == "." and position == 0:
                raise ValueError(f"{text!r:.200} is no path; it begins with a dot")
            parts.append(name)
        else:
            parts.append(int(index) if index is not None else quoted[1:-1])
        position = match.end()
    return tuple(parts)


def show_path(path: Path) -> str:
    """Return a path as it is written."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PART.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def follow(value: object, path: Path) -> object:
    """Return the part of a value that a path leads to. Where it goes into a text, the text is read as JSON.

    Raises:
        NoSuchPart: saying how far it led.
    """
    for number, part in enumerate(path):
        value = structured(value)
        if isinstance(value, dict) and str(part) in value:
            value = value[str(part)]
        elif isinstance(value, list | tuple) and (index := _index(part, len(value))) is not None:
            value = value[index]
        else:
            raise NoSuchPart(show_path(path[: number + 1]), _why(value))
    return value


def _index(part: str | int, length: int) -> int | None:
    if isinstance(part, str) and not re.fullmatch(r"[0-9]{1,9}", part):
        return None
    index = int(part)
    return index if -length <= index < length else None


def _why(value: object) -> str:
    if isinstance(value, dict):
        return f"there are: {', '.join(map(repr, list(value)[:10]))}" if value else "the object is empty"
    if isinstance(value, list | tuple):
        return f"the list has {len(value)} items"
    return f"there is only {value!r:.60}"
