"""Pure: programs and guards in words. Values are quoted, slots stand in braces, and nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable

from evolvent.events.language.learning.guards import (
    Between,
    Distinct,
    Equal,
    Exists,
    Guard,
    HasShape,
    NotError,
    OneOf,
)
from evolvent.events.language.learning.nodes import (
    Branch,
    Const,
    Each,
    Find,
    Items,
    Lookup,
    Map,
    Output,
    Override,
    Program,
    Record,
    Slot,
    Text,
)

_OTHER = "other:"
_SHOWN_VALUES = 12


def in_words(program: Program) -> str:  # noqa: C901 - one case for each operation
    """Return where a value comes from."""
    match program:
        case Const():
            return f"always {_quoted(program.value)}"
        case Slot():
            return _slot(program)
        case Output():
            return _normalised(f"{_path(program.path)}what {label(program.step)} returned", program.normal)
        case Find():
            return f"the only `{program.name}` in what {label(program.step)} returned"
        case Lookup():
            where = " and ".join(
                f"{_field(condition.path)} is {in_words(condition.equals)}" for condition in program.where
            )
            only = f" where {where}" if where else ""
            return f"{_path(program.take)}the only row{only}, in {in_words(program.rows)}"
        case Map():
            return f"{_path(program.take)}every row, in {in_words(program.rows)}"
        case Each():
            return f"for each {{{program.slot}}}: {in_words(program.body)}"
        case Override():
            return f"{in_words(program.old)}, replaced as far as stated by {in_words(program.new)}"
        case Record():
            fields = (f"{name}: {in_words(child)}" for name, child in program.fields.items())
            return f"a record of ({'; '.join(fields)})"
        case Items():
            return f"a list of ({'; '.join(in_words(child) for child in program.items)})"
        case Text():
            return "".join(part if isinstance(part, str) else f"[{in_words(part)}]" for part in program.parts)
        case Branch():
            cases = (f"{_values(case.values)}: {in_words(case.then)}" for case in program.cases)
            return f"depending on {in_words(program.on)} ({'; '.join(cases)})"
        case _:
            return json.dumps(program.model_dump(mode="json"), ensure_ascii=False)


def guard_in_words(guard: Guard) -> str:
    """Return what a guard demands, and why, where that is known."""
    return f"{_demand(guard)}{f' ({guard.why})' if guard.why else ''}"


def label(step: str) -> str:
    """Return a step as it is called in words."""
    return f"{step.removeprefix(_OTHER)} of the other sentence" if step.startswith(_OTHER) else step


def _demand(guard: Guard) -> str:
    match guard:
        case Equal():
            same = "is, but for spelling," if guard.loose else "is"
            return f"{in_words(guard.left)} {same} {in_words(guard.right)}"
        case OneOf():
            return f"{in_words(guard.value)} is {_values(guard.values)}"
        case HasShape():
            return f"{in_words(guard.value)} is a {' or a '.join(guard.shapes)}"
        case Between():
            return f"{in_words(guard.value)} lies between {guard.low:g} and {guard.high:g}"
        case Distinct():
            return f"no value stands twice in {in_words(guard.value)}"
        case Exists():
            return f"there is {in_words(guard.value)}"
        case NotError():
            return f"{in_words(guard.value)} is no error"
        case _:
            return json.dumps(guard.model_dump(mode="json"), ensure_ascii=False)


def _slot(slot: Slot) -> str:
    name = slot.name.removeprefix(_OTHER)
    words = f"{{{name}}} of the other sentence" if slot.name.startswith(_OTHER) else f"{{{name}}}"
    if slot.index is not None:
        words = f"number {slot.index + 1} of {words}"
    if slot.literal:
        words = f"the record that {words} spells"
    if slot.strip:
        words = f"{words} without {_quoted(slot.strip)}"
    if slot.put:
        words = f"{words} after {_quoted(slot.put)}"
    return _normalised(f"{_path(slot.path)}{words}", slot.normal)


def _normalised(words: str, normal: Iterable[str]) -> str:
    how = ", ".join(normal)
    return f"{words} (as {how})" if how else words


def _path(path: tuple[str | int, ...]) -> str:
    return f"{_field(path)} of " if path else ""


def _field(path: tuple[str | int, ...]) -> str:
    if path == ("@key",):
        return "its key"
    return f"`{'.'.join(str(key) for key in path)}`" if path else "it"


def _values(values: tuple[object, ...]) -> str:
    shown = [_quoted(value) for value in values[:_SHOWN_VALUES]]
    more = [f"one of {len(values) - _SHOWN_VALUES} more"] if len(values) > _SHOWN_VALUES else []
    return " or ".join([*shown, *more])


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
