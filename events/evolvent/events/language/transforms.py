"""Transformations at work: pure, bounded, and total but for one typed error that names the task and the path.

Where a list is wanted and there is an object that holds exactly one list, that list is meant (and stays in its
object when it is filtered or mapped). Texts that hold JSON, as agents write them, are read first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, assert_never

from evolvent.events.language.hashing import canonical_json
from evolvent.events.language.jmespath_search import SearchFailed, search
from evolvent.events.language.json_bounds import BadJson, measure, structured
from evolvent.events.language.json_paths import NoSuchPart, Path, follow, parse_path
from evolvent.events.language.transformations import (
    Aggregate,
    Aggregation,
    Filter,
    JMESPath,
    Map,
    Operator,
    Transformation,
)
from evolvent.events.language.workflow_problems import TransformFailed

MAX_GROUPS = 10_000
_ABSENT = object()


class _Misfit(Exception):
    """A transformation does not fit; `args` are the path and why."""


def transform(transformations: Sequence[Transformation], output: object, *, task_id: str = "") -> Any:
    """Return a task's output after all its transformations, in order.

    Raises:
        TransformFailed: naming the task, the transformation and the path.
    """
    for number, step in enumerate(transformations):
        try:
            measure(output)
            output = _replace(output, parse_path(step.path), step)
            measure(output)
        except _Misfit as misfit:
            path, why = misfit.args
            raise _failed(task_id, number, step, path or step.path, why) from misfit
        except (BadJson, ValueError) as problem:
            raise _failed(task_id, number, step, step.path, str(problem)) from problem
    return output


def _failed(task_id: str, number: int, step: Transformation, path: str, why: str) -> TransformFailed:
    where = f"path {path!r}" if path else "the whole output"
    return TransformFailed(f"Task {task_id!r}, transformation {number + 1} ({step.type}), {where}: {why}.")


def _replace(value: Any, path: Path, step: Transformation) -> Any:
    value = structured(value)
    if not path:
        return _apply(value, step)
    part = _at(value, path[:1])
    if isinstance(value, dict):
        return {**value, str(path[0]): _replace(part, path[1:], step)}
    index = int(path[0]) % len(value)
    return [*value[:index], _replace(part, path[1:], step), *value[index + 1 :]]


def _apply(value: Any, step: Transformation) -> Any:
    match step:
        case Filter():
            tests = [(parse_path(path), path, wanted) for path, wanted in step.criteria.items()]
            return _on_items(value, lambda items: [item for item in items if _meets(item, tests)])
        case Map():
            return _map(value, step.mapping)
        case Aggregate():
            return _aggregate(value, step)
        case JMESPath():
            try:
                return search(step.expression, value)
            except SearchFailed as problem:
                raise _Misfit(step.expression[:200], str(problem)) from problem
        case _ as never:
            assert_never(never)


def _on_items(value: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    if isinstance(value, list):
        return change(value)
    key = _only_list(value)
    return {**value, key: change(value[key])}


def _only_list(value: Any) -> str:
    if not isinstance(value, dict):
        raise _Misfit("", f"a list is wanted, and this is {_kind(value)}")
    keys: list[str] = [key for key, child in value.items() if isinstance(child, list)]
    if len(keys) != 1:
        found = f"lists at {', '.join(map(repr, keys[:5]))}" if keys else "no list"
        raise _Misfit("", f"a list is wanted, and the object holds {found}; say which with `path`")
    return keys[0]


def _items(value: Any) -> list[Any]:
    items: list[Any] = value if isinstance(value, list) else value[_only_list(value)]
    return items


def _at(value: Any, path: Path) -> Any:
    try:
        return follow(value, path)
    except NoSuchPart as gap:
        raise _Misfit(gap.args[0], f"there is no such part: {gap.args[1]}") from gap


def _find(value: Any, path: Path) -> Any:
    try:
        return follow(value, path)
    except NoSuchPart:
        return _ABSENT


def _meets(item: Any, tests: Sequence[tuple[Path, str, dict[Operator, Any]]]) -> bool:
    for path, text, wanted in tests:
        found = _find(item, path)
        for operator, value in wanted.items():
            if not _holds(operator, found, value, text):
                return False
    return True


def _holds(operator: Operator, found: Any, wanted: Any, path: str) -> bool:
    if operator == "exists":
        return (found is not _ABSENT) is bool(wanted)
    if operator == "equals" or operator == "not_equals":
        return (found is not _ABSENT and _same(found, wanted)) is (operator == "equals")
    if found is _ABSENT or found is None:
        return False
    match operator:
        case "greater_than":
            return _compare(found, wanted, path) > 0
        case "less_than":
            return _compare(found, wanted, path) < 0
        case "in":
            return _is_in(found, wanted, path)
        case "contains":
            return _is_in(wanted, found, path)
        case _ as never:
            assert_never(never)


def _same(one: Any, other: Any) -> bool:
    """JSON equality: true is not 1, as it is in Python."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _compare(found: Any, wanted: Any, path: str) -> int:
    both_numbers = _is_number(found) and _is_number(wanted)
    if not both_numbers and not (isinstance(found, str) and isinstance(wanted, str)):
        raise _Misfit(path, f"{_kind(found)} cannot be compared with {_kind(wanted)}")
    return int(found > wanted) - int(found < wanted)


def _is_in(part: Any, whole: Any, path: str) -> bool:
    if isinstance(whole, list | tuple):
        return any(_same(part, child) for child in whole)
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    if isinstance(whole, dict) and isinstance(part, str):
        return part in whole
    raise _Misfit(path, f"{_kind(part)} cannot be in {_kind(whole)}")


def _map(value: Any, mapping: dict[str, str]) -> Any:
    paths = [(parse_path(source), target) for source, target in mapping.items()]

    def rename(item: Any) -> dict[str, Any]:
        return {target: _at(item, path) for path, target in paths}

    return [rename(item) for item in value] if isinstance(value, list) else rename(value)


def _aggregate(value: Any, step: Aggregate) -> Any:
    items = _items(value)
    how: Aggregation = step.aggregate_type
    key = step.group_by or (step.field if how == "group_by" else None)
    if key is None:
        return _one(how, items, step.field)
    groups: dict[str, list[Any]] = {}
    path = parse_path(key)
    for item in items:
        found = _at(item, path)
        groups.setdefault(found if isinstance(found, str) else canonical_json(found).decode(), []).append(item)
        if len(groups) > MAX_GROUPS:
            raise _Misfit(key, f"there are more than {MAX_GROUPS} groups")
    return groups if how == "group_by" else {name: _one(how, group, step.field) for name, group in groups.items()}


def _one(how: Aggregation, items: list[Any], field: str | None) -> Any:
    if how == "count":
        path = parse_path(field) if field else ()
        return sum(1 for item in items if _find(item, path) not in (_ABSENT, None)) if field else len(items)
    if field is not None or not items or not all(isinstance(item, dict) for item in items):
        path = parse_path(field) if field else ()
        return _number(how, [_at(item, path) for item in items], field or "")
    columns: dict[str, list[Any]] = {}
    for item in items:
        for name, cell in item.items():
            if _is_number(cell):
                columns.setdefault(name, []).append(cell)
    if not columns:
        raise _Misfit("", f"the items have no numeric field to make a {how} of; name one with `field`")
    return {name: _number(how, cells, name) for name, cells in columns.items()}


def _number(how: Aggregation, cells: list[Any], path: str) -> int | float | str | None:
    is_text = how in ("min", "max") and bool(cells) and all(isinstance(cell, str) for cell in cells)
    wrong = next((cell for cell in cells if not _is_number(cell)), None) if not is_text else None
    if wrong is not None or (not is_text and any(cell is None for cell in cells)):
        raise _Misfit(path, f"a {how} needs numbers, and there is {_kind(wrong)}")
    if not cells:
        return 0 if how == "sum" else None
    try:
        result = _REDUCE[how](cells)
    except OverflowError as problem:
        raise _Misfit(path, f"the {how} is too large") from problem
    if isinstance(result, float) and not math.isfinite(result):
        raise _Misfit(path, f"the {how} is too large")
    return result


def _mean(cells: list[Any]) -> float:
    return float(sum(cells) / len(cells))


_REDUCE: dict[str, Callable[[list[Any]], int | float | str]] = {"sum": sum, "avg": _mean, "min": min, "max": max}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
