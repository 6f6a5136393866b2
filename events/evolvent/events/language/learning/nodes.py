"""The binding language: where a value comes from, as a document. A program is plain JSON and only ever copies.

In a repeated group (`each`) a slot of many texts and the output of a repeated step stand for the one at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evolvent.events.language.learning.values import key_of
from evolvent.events.language.workflow_problems import ReferenceInvalid

KEY = "@key"
"""The name of a record among records, where a look-up asks for it as for a field."""

Normal = Literal[
    "trim",
    "lower",
    "upper",
    "title",
    "number",
    "money",
    "decimal",
    "currency",
    "date",
    "clock",
    "seconds",
    "minutes",
    "hours",
    "days",
    "text",
]
Keys = tuple[str | int, ...]


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Const(_Node):
    """A value that never changes."""

    op: Literal["const"] = "const"
    value: Any = None

    def __hash__(self) -> int:
        return hash(key_of(self.value))


class Slot(_Node):
    """What stands in the request: as it is, after normalising, or one field of the record that it spells.

    `strip` and `put` are a prefix to take off and one to put on. `index` picks one text of a repeated group.
    """

    op: Literal["slot"] = "slot"
    name: str
    path: Keys = ()
    normal: tuple[Normal, ...] = ()
    strip: str = ""
    put: str = ""
    literal: bool = False
    index: int | None = None


class Output(_Node):
    """What an earlier step returned, or the part of it that a path leads to."""

    op: Literal["output"] = "output"
    step: str
    path: Keys = ()
    normal: tuple[Normal, ...] = ()


class Find(_Node):
    """The only value that stands under a name anywhere in what a step returned."""

    op: Literal["find"] = "find"
    step: str
    name: str


class Condition(_Node):
    """What must hold of a row: its field equals what a program says. No path: the row itself."""

    path: Keys = ()
    equals: Program


class Lookup(_Node):
    """The field of the only row that meets all conditions. Rows are a list, or the records of a record."""

    op: Literal["lookup"] = "lookup"
    rows: Program
    where: tuple[Condition, ...] = ()
    take: Keys = ()


class Map(_Node):
    """The same field of every row, in order."""

    op: Literal["map"] = "map"
    rows: Program
    take: Keys = ()


class Each(_Node):
    """One value for each repetition of the group that a slot belongs to."""

    op: Literal["each"] = "each"
    slot: str
    body: Program


class Override(_Node):
    """A record with some of its fields replaced."""

    op: Literal["override"] = "override"
    old: Program
    new: Program


class Record(_Node):
    """A record made of programs."""

    op: Literal["record"] = "record"
    fields: dict[str, Program]

    def __hash__(self) -> int:
        return hash(frozenset(self.fields.items()))


class Items(_Node):
    """A list made of programs."""

    op: Literal["items"] = "items"
    items: tuple[Program, ...]


class Text(_Node):
    """A text of fixed words and programs."""

    op: Literal["text"] = "text"
    parts: tuple[str | Program, ...]


class Case(_Node):
    """One way of a branch: which values of `on` lead to it."""

    values: tuple[str | bool | int | None, ...]
    then: Program


class Branch(_Node):
    """The program whose case fits the value of `on`; no case, no value."""

    op: Literal["branch"] = "branch"
    on: Program
    cases: tuple[Case, ...]


Program = Annotated[
    Const | Slot | Output | Find | Lookup | Map | Each | Override | Record | Items | Text | Branch,
    Field(discriminator="op"),
]
for _model in (Condition, Lookup, Map, Each, Override, Record, Items, Text, Case, Branch):
    _model.model_rebuild()
_PROGRAM: TypeAdapter[Program] = TypeAdapter(Program)


def parse_program(document: object) -> Program:
    """Return the program that a JSON document spells.

    Raises:
        ReferenceInvalid: it spells none.
    """
    if isinstance(document, _Node):
        return document  # type: ignore[return-value]
    try:
        return _PROGRAM.validate_python(document)
    except (ValidationError, RecursionError) as problem:
        raise ReferenceInvalid(f"This is no program: {document!r:.200}. Let the learner write it again.") from problem


def as_json(program: Program) -> dict[str, Any]:
    """Return a program as a plain JSON document."""
    document: dict[str, Any] = program.model_dump(mode="json")
    return document


def parts_of(program: Program) -> Iterator[Program]:
    """Yield a program and every program inside it."""
    yield program
    for child in _children(program):
        yield from parts_of(child)


def slots_of(program: Program) -> frozenset[str]:
    """Return the names of the slots that a program reads."""
    direct = {part.name for part in parts_of(program) if isinstance(part, Slot)}
    return frozenset(direct | {part.slot for part in parts_of(program) if isinstance(part, Each)})


def steps_of(program: Program) -> frozenset[str]:
    """Return the steps whose output a program reads."""
    return frozenset(part.step for part in parts_of(program) if isinstance(part, Output | Find))


def renamed(program: Program, change: Callable[[Program], Program | None]) -> Program:  # noqa: C901 - a case an operation
    """Return a program with parts replaced: `change` says by what, or None to look inside the part."""
    replaced = change(program)
    if replaced is not None:
        return replaced

    def go(child: Program) -> Program:
        return renamed(child, change)

    match program:
        case Lookup():
            where = tuple(Condition(path=each.path, equals=go(each.equals)) for each in program.where)
            return Lookup(rows=go(program.rows), where=where, take=program.take)
        case Map():
            return Map(rows=go(program.rows), take=program.take)
        case Each():
            return Each(slot=program.slot, body=go(program.body))
        case Override():
            return Override(old=go(program.old), new=go(program.new))
        case Record():
            return Record(fields={name: go(child) for name, child in program.fields.items()})
        case Items():
            return Items(items=tuple(go(child) for child in program.items))
        case Text():
            return Text(parts=tuple(part if isinstance(part, str) else go(part) for part in program.parts))
        case Branch():
            cases = tuple(Case(values=case.values, then=go(case.then)) for case in program.cases)
            return Branch(on=go(program.on), cases=cases)
        case _:
            return program


def _children(program: Program) -> tuple[Program, ...]:
    match program:
        case Lookup():
            return (program.rows, *(condition.equals for condition in program.where))
        case Map():
            return (program.rows,)
        case Each():
            return (program.body,)
        case Override():
            return (program.old, program.new)
        case Record():
            return tuple(program.fields.values())
        case Items():
            return program.items
        case Text():
            return tuple(part for part in program.parts if not isinstance(part, str))
        case Branch():
            return (program.on, *(case.then for case in program.cases))
        case _:
            return ()
