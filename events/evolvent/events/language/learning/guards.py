"""Conditions on what was asked and read, as documents. A guard compares; it never changes anything and never raises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.learning.nodes import Each, Items, Program
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.values import key_of, same
from evolvent.events.language.references import Scope
from evolvent.events.language.workflow import Task
from evolvent.events.language.workflow_problems import ReferenceUnresolved

Shape = Literal["text", "number", "flag", "list", "record", "null"]


class _Guard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    why: str = ""
    """What the guard protects, for people. Never made of text that tools returned."""


class Equal(_Guard):
    """Two values are the same, such as the owner of a record and who asked."""

    check: Literal["equal"] = "equal"
    left: Program
    right: Program
    loose: bool = False


class OneOf(_Guard):
    """A value is one of those seen. Of a group, every one of its values is."""

    check: Literal["one_of"] = "one_of"
    value: Program
    values: tuple[str | bool | int | None, ...]


class HasShape(_Guard):
    """A value is of one of these shapes. Of a group, every one of its values is."""

    check: Literal["shape"] = "shape"
    value: Program
    shapes: tuple[Shape, ...]


class Between(_Guard):
    """A number lies in a range, its ends included. Of a group, every number does."""

    check: Literal["between"] = "between"
    value: Program
    low: float
    high: float


class Distinct(_Guard):
    """No two values of a list are the same."""

    check: Literal["distinct"] = "distinct"
    value: Program


class Exists(_Guard):
    """A program leads to exactly one value."""

    check: Literal["exists"] = "exists"
    value: Program


class NotError(_Guard):
    """What a step returned is no error."""

    check: Literal["not_error"] = "not_error"
    value: Program


Guard = Annotated[Equal | OneOf | HasShape | Between | Distinct | Exists | NotError, Field(discriminator="check")]
_GUARD: TypeAdapter[Guard] = TypeAdapter(Guard)


def parse_guard(document: object) -> Guard:
    """Return the guard that a JSON document spells.

    Raises:
        ValidationError: it spells none.
    """
    return document if isinstance(document, _Guard) else _GUARD.validate_python(document)  # type: ignore[return-value]


def check(guard: object, scope: Scope) -> str | None:
    """Return why a guard (or its document) fails, or None where it holds. What cannot be worked out fails."""
    try:
        return _check(parse_guard(guard), scope)
    except ReferenceUnresolved as gap:
        return str(gap)
    except (ValidationError, RecursionError, TypeError, ValueError, OverflowError) as problem:
        return f"This is no guard: {problem!s:.200}"


def violated(task: Task, scope: Scope) -> str | None:
    """Return why the first guard of a task that fails does so, or None where all hold."""
    return next((why for guard in task.guards if (why := check(guard, scope)) is not None), None)


def programs_of(guard: Guard) -> tuple[Program, ...]:
    """Return the programs that a guard compares."""
    return (guard.left, guard.right) if isinstance(guard, Equal) else (guard.value,)


def shape_of(value: object) -> Shape:
    """Return what kind of JSON a value is."""
    match value:
        case None:
            return "null"
        case bool():
            return "flag"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case _:
            return "record"


def is_error(value: object) -> bool:
    """Say whether what a tool returned tells of an error, in the ways tools commonly do."""
    found = structured(value)
    if isinstance(found, str):
        return found.lstrip().lower().startswith(("error", "exception", "traceback"))
    return isinstance(found, dict) and bool(found.get("error") or found.get("isError") or found.get("is_error"))


def _check(guard: Guard, scope: Scope) -> str | None:
    if isinstance(guard, Equal):
        left, right = evaluate(guard.left, scope), evaluate(guard.right, scope)
        return None if same(left, right, loose=guard.loose) else f"{left!r:.80} is not {right!r:.80}.{_why(guard)}"
    value = evaluate(guard.value, scope)
    if isinstance(guard, Exists):
        return None
    if isinstance(guard, Distinct):
        keys = [key_of(each) for each in value] if isinstance(value, list | tuple) else []
        return None if keys and len(set(keys)) == len(keys) else f"Some value stands there twice, or none.{_why(guard)}"
    for each in value if isinstance(guard.value, Each | Items) else [value]:
        if not _holds(guard, each):
            return f"{each!r:.80} does not fit the guard {guard.check!r}.{_why(guard)}"
    return None


def _holds(guard: OneOf | HasShape | Between | NotError, value: Any) -> bool:
    match guard:
        case OneOf():
            return any(same(value, each) for each in guard.values)
        case HasShape():
            return shape_of(value) in guard.shapes
        case Between():
            return isinstance(value, int | float) and not isinstance(value, bool) and guard.low <= value <= guard.high
        case NotError():
            return not is_error(value)


def _why(guard: Guard) -> str:
    return f" ({guard.why})" if guard.why else ""
