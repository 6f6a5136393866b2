"""References: `${tasks.NAME.output.path}`, `${params.x}`, `${context.y}`, `${request.message}`, `${item.z}`.

A reference is a path of keys and indexes, followed by hand; nothing is ever evaluated, and what it leads to is not
searched for references again. A text that is one reference keeps the type of what it leads to; references inside
a longer text become text. `$${` stands for a plain `${`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.json_bounds import MAX_DEPTH
from evolvent.events.language.json_paths import NoSuchPart, Path, follow, parse_path
from evolvent.events.language.workflow_problems import ReferenceInvalid, ReferenceUnresolved

ROOTS = ("tasks", "params", "context", "request", "item")
MAX_TEXT_CHARACTERS = 2_000_000
_TOKEN = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference: where it starts, and the path from there. `task_id` is set where it starts at a task."""

    text: str
    root: str
    path: Path
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What references can reach: the outputs of the tasks that are done, and what the run was started with."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    item: Any = None
    """The item at hand, in a task of a pipeline."""


def parse_reference(text: str) -> Reference:
    """Return the reference that stands between `${` and `}`.

    Raises:
        ReferenceInvalid: naming it.
    """
    try:
        path = parse_path(text.strip())
    except ValueError as problem:
        raise ReferenceInvalid(f"${{{text:.200}}} is no reference: {problem}.") from problem
    root = path[0] if path else ""
    if root not in ROOTS:
        raise ReferenceInvalid(f"${{{text:.200}}} starts at {root!r}; start at one of {', '.join(ROOTS)}.")
    if root != "tasks":
        return Reference(text, str(root), path[1:])
    if len(path) < 3 or path[2] != "output":
        raise ReferenceInvalid(f"${{{text:.200}}} names no output; write ${{tasks.NAME.output}}.")
    return Reference(text, "tasks", path[3:], str(path[1]))


def references_in(value: object) -> tuple[Reference, ...]:
    """Return every reference inside a JSON value.

    Raises:
        ReferenceInvalid: one of them is none, or the value is too deep.
    """
    return tuple(parse_reference(text) for text in reference_texts(value))


def reference_texts(value: object) -> tuple[str, ...]:
    """Return what stands between `${` and `}` anywhere in a JSON value, whether it is a reference or not."""
    return tuple(dict.fromkeys(match.group(1) or "" for text in _texts(value, 0) for match in _found(text)))


def resolve(value: object, scope: Scope, *, task_id: str = "") -> Any:
    """Return a JSON value with its references replaced by what they lead to.

    Raises:
        ReferenceInvalid: one is not a reference.
        ReferenceUnresolved: one leads nowhere; the message names the task that wanted it, and the path.
    """
    return _resolve(value, scope, task_id, 0)


def _resolve(value: object, scope: Scope, task_id: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ReferenceInvalid(f"Task {task_id!r} nests its references deeper than {MAX_DEPTH}; flatten them.")
    if isinstance(value, str):
        return _resolve_text(value, scope, task_id)
    if isinstance(value, dict):
        return {key: _resolve(child, scope, task_id, depth + 1) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(child, scope, task_id, depth + 1) for child in value]
    return value


def _resolve_text(text: str, scope: Scope, task_id: str) -> Any:
    if "${" not in text:
        return text
    whole = _TOKEN.fullmatch(text)
    if whole is not None and whole.group(1) is not None:
        return _look_up(parse_reference(whole.group(1)), scope, task_id)
    parts: list[str] = []
    end = size = 0
    for match in _TOKEN.finditer(text):
        parts += [text[end : match.start()], _replacement(match, scope, task_id)]
        size += len(parts[-1])
        end = match.end()
        if size > MAX_TEXT_CHARACTERS:
            raise ReferenceUnresolved(f"Task {task_id!r} becomes longer than {MAX_TEXT_CHARACTERS} characters.")
    return "".join([*parts, text[end:]])


def _replacement(match: re.Match[str], scope: Scope, task_id: str) -> str:
    if match.group() == "$${":
        return "${"
    return as_text(_look_up(parse_reference(match.group(1) or ""), scope, task_id))


def as_text(value: object) -> str:
    """Return a value as it stands inside a text: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _look_up(reference: Reference, scope: Scope, task_id: str) -> object:
    start = _start(reference, scope, task_id)
    try:
        return follow(start, reference.path)
    except NoSuchPart as gap:
        where, why = gap.args
        raise ReferenceUnresolved(
            f"Task {task_id!r} refers to ${{{reference.text}}}, but there is no {where!r}: {why}."
        ) from gap


def _start(reference: Reference, scope: Scope, task_id: str) -> object:
    match reference.root:
        case "tasks":
            if reference.task_id is None or reference.task_id not in scope.outputs:
                raise ReferenceUnresolved(
                    f"Task {task_id!r} refers to ${{{reference.text}}}, but task {reference.task_id!r} is not done."
                )
            return scope.outputs[reference.task_id]
        case "params":
            return scope.params
        case "context":
            return scope.context
        case "request":
            return scope.request
        case _:
            return scope.item


def _found(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(text) if match.group() != "$${")


def _texts(value: object, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ReferenceInvalid(f"A value nests its references deeper than {MAX_DEPTH}; flatten them.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts(child, depth + 1)
