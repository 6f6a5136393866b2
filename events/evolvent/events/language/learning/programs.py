"""What a program is worth in a scope, and what a task's arguments become. Programs only ever copy values.

A text that holds JSON is read as JSON wherever a path goes into it. Hostile data leads to nothing but
`ReferenceUnresolved`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.json_paths import NoSuchPart, follow, show_path
from evolvent.events.language.learning.nodes import (
    KEY,
    Branch,
    Const,
    Each,
    Find,
    Items,
    Keys,
    Lookup,
    Map,
    Output,
    Override,
    Program,
    Record,
    Slot,
    Text,
    parse_program,
)
from evolvent.events.language.learning.values import (
    clock_of,
    currency_of,
    date_of,
    decimal_of,
    duration_in,
    key_of,
    literal_of,
    money_of,
    number_of,
    same,
)
from evolvent.events.language.references import MAX_TEXT_CHARACTERS, Scope, as_text, resolve
from evolvent.events.language.workflow import Task
from evolvent.events.language.workflow_problems import ReferenceInvalid, ReferenceUnresolved

MAX_DEPTH = 24
MAX_ROWS = 20_000

NORMALS: Mapping[str, Callable[[str], Any]] = {
    "trim": lambda text: text.strip(" \t\n.,;:!?'\""),
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "number": number_of,
    "money": money_of,
    "decimal": decimal_of,
    "currency": currency_of,
    "date": date_of,
    "clock": clock_of,
    "seconds": duration_in(1),
    "minutes": duration_in(60),
    "hours": duration_in(3600),
    "days": duration_in(86_400),
    "text": str,
}


def evaluate(program: object, scope: Scope, index: int | None = None) -> Any:
    """Return the value of a program (or of its document). `index` is the repetition at hand inside a group.

    Raises:
        ReferenceUnresolved: it leads nowhere, or to more than one value.
    """
    try:
        return _value(parse_program(program), scope, index, 0)
    except (RecursionError, TypeError, ValueError, KeyError, OverflowError, ReferenceInvalid) as problem:
        raise ReferenceUnresolved(f"A program cannot be worked out: {problem!s:.200}") from problem


def bind(task: Task, scope: Scope) -> dict[str, Any]:
    """Return the arguments of a task: its references resolved, and over them what its bindings say.

    Raises:
        ReferenceInvalid: one of its references is none.
        ReferenceUnresolved: one leads nowhere; the message names the task and the argument.
    """
    arguments: dict[str, Any] = resolve(task.arguments, scope, task_id=task.task_id)
    for name, program in task.bindings.items():
        try:
            arguments[name] = evaluate(program, scope)
        except ReferenceUnresolved as gap:
            raise ReferenceUnresolved(f"Task {task.task_id!r} has no value for {name!r}: {gap}") from gap
    return arguments


def _value(program: Program, scope: Scope, index: int | None, depth: int) -> Any:  # noqa: C901 - a case an operation
    if depth > MAX_DEPTH:
        raise ReferenceUnresolved(f"A program is nested deeper than {MAX_DEPTH}.")

    def inner(child: Program, at: int | None = index) -> Any:
        return _value(child, scope, at, depth + 1)

    match program:
        case Const():
            return program.value
        case Slot():
            return _slot(program, scope, index)
        case Output():
            return _normal(_follow(_output(program.step, scope, index), program.path), program.normal)
        case Find():
            return _find(program, _output(program.step, scope, index))
        case Lookup():
            return _lookup(program, inner)
        case Map():
            return [_follow(row, program.take) for _, row in _rows(inner(program.rows))]
        case Each():
            return [inner(program.body, at) for at in range(group_size(scope, program.slot))]
        case Override():
            return _override(inner(program.old), inner(program.new))
        case Record():
            return {name: inner(child) for name, child in program.fields.items()}
        case Items():
            return [inner(child) for child in program.items]
        case Text():
            return _text([part if isinstance(part, str) else as_text(inner(part)) for part in program.parts])
        case Branch():
            return inner(_case(program, inner(program.on)))


def group_size(scope: Scope, slot: str) -> int:
    """Return how often the group that a slot belongs to is repeated.

    Raises:
        ReferenceUnresolved: the slot is not there, or belongs to no group.
    """
    texts = scope.params.get(slot)
    if not isinstance(texts, list | tuple):
        raise ReferenceUnresolved(f"Slot {slot!r} holds no group.")
    return len(texts)


def slot_text(scope: Scope, name: str, index: int | None) -> Any:
    """Return what stands in a slot; of a group, the text at hand.

    Raises:
        ReferenceUnresolved: nothing, or many texts and none is at hand.
    """
    if name not in scope.params:
        raise ReferenceUnresolved(f"There is no slot {name!r}.")
    text = scope.params[name]
    if not isinstance(text, list | tuple):
        return text
    if index is None or not 0 <= index < len(text):
        raise ReferenceUnresolved(f"Slot {name!r} holds {len(text)} texts, and number {index} is wanted.")
    return text[index]


def _slot(program: Slot, scope: Scope, index: int | None) -> Any:
    text = slot_text(scope, program.name, program.index if program.index is not None else index)
    if program.literal or program.path:
        found = literal_of(text) if isinstance(text, str) else text
        if not isinstance(found, dict | list):
            raise ReferenceUnresolved(f"Slot {program.name!r} spells no record.")
        return _normal(_follow(found, program.path), program.normal)
    if isinstance(text, str) and program.strip:
        if not text.startswith(program.strip):
            raise ReferenceUnresolved(f"Slot {program.name!r} does not start with {program.strip!r}.")
        text = text.removeprefix(program.strip)
    value = _normal(text, program.normal)
    return f"{program.put}{as_text(value)}" if program.put else value


def _normal(value: Any, steps: tuple[str, ...]) -> Any:
    for name in steps:
        if name == "text":
            value = as_text(value)
            continue
        if not isinstance(value, str):
            raise ReferenceUnresolved(f"{value!r:.60} is no text, so it has no {name}.")
        value = NORMALS[name](value)
        if value is None:
            raise ReferenceUnresolved(f"The text has no {name}.")
    return value


def _output(step: str, scope: Scope, index: int | None) -> Any:
    if step not in scope.outputs:
        raise ReferenceUnresolved(f"Step {step!r} is not done.")
    found = scope.outputs[step]
    if not isinstance(found, Repeated):
        return found
    if index is None or not 0 <= index < len(found):
        raise ReferenceUnresolved(f"Step {step!r} was done {len(found)} times, and number {index} is wanted.")
    return found[index]


class Repeated(list[Any]):
    """The outputs of a step that was done once for each repetition of a group."""


def _follow(value: Any, path: Keys) -> Any:
    if not path:
        return structured(value)
    try:
        return follow(value, path)
    except NoSuchPart as gap:
        raise ReferenceUnresolved(f"There is no {show_path(path)!r:.200}.") from gap


def _find(program: Find, whole: Any) -> Any:
    found: dict[Any, Any] = {}
    stack = [(structured(whole), 0)]
    while stack:
        part, depth = stack.pop()
        if not isinstance(part, dict | list | tuple) or depth > MAX_DEPTH:
            continue
        if isinstance(part, dict) and program.name in part:
            found[key_of(part[program.name])] = part[program.name]
        stack.extend((child, depth + 1) for child in (part.values() if isinstance(part, dict) else part))
    if len(found) != 1:
        raise ReferenceUnresolved(f"{program.name!r:.80} stands for {len(found)} values.")
    return next(iter(found.values()))


def _rows(value: Any) -> list[tuple[str | int, Any]]:
    rows = structured(value)
    if isinstance(rows, dict):
        return list(rows.items())
    if isinstance(rows, list | tuple) and len(rows) <= MAX_ROWS:
        return list(enumerate(rows))
    raise ReferenceUnresolved(f"{rows!r:.60} has no rows.")


def _lookup(program: Lookup, inner: Callable[[Program], Any]) -> Any:
    wanted = [(each.path, key_of(inner(each.equals), loose=True)) for each in program.where]
    hits = [
        (name, row)
        for name, row in _rows(inner(program.rows))
        if all(_meets(name, row, path, key) for path, key in wanted)
    ]
    if len(hits) != 1:
        raise ReferenceUnresolved(f"{len(hits)} rows fit, not one.")
    name, row = hits[0]
    return name if program.take == (KEY,) else _follow(row, program.take)


def _meets(name: str | int, row: Any, path: Keys, key: Any) -> bool:
    if path == (KEY,):
        return bool(key_of(name, loose=True) == key)
    try:
        return bool(key_of(follow(row, path), loose=True) == key)
    except NoSuchPart:
        return False


def _override(old: Any, new: Any) -> dict[str, Any]:
    old, new = structured(old), structured(new)
    if not isinstance(old, dict) or not isinstance(new, dict) or not new.keys() <= old.keys():
        raise ReferenceUnresolved("Only a record's own fields can be replaced.")
    return {**old, **new}


def _text(parts: list[str]) -> str:
    text = "".join(parts)
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ReferenceUnresolved(f"A text becomes longer than {MAX_TEXT_CHARACTERS} characters.")
    return text


def _case(program: Branch, value: Any) -> Program:
    for case in program.cases:
        if any(same(value, each) for each in case.values):
            return case.then
    raise ReferenceUnresolved(f"No case is known for {value!r:.60}.")
