"""Programs and guards: what they are worth, and that hostile data leads to nothing but the one error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.learning.guards import check, violated
from evolvent.events.language.learning.nodes import Each, Lookup, Output, Slot, as_json, parse_program
from evolvent.events.language.learning.programs import Repeated, bind, evaluate
from evolvent.events.language.references import Scope
from evolvent.events.language.workflow import Task, TaskKind
from evolvent.events.language.workflow_problems import ReferenceUnresolved

ORDER = '{"id": "#7", "items": [{"name": "Lamp", "id": "1"}, {"name": "Pen", "id": "2"}, {"name": "Pen", "id": "3"}]}'
SCOPE = Scope(
    outputs={"order": ORDER, "who": "ann_1", "shelf": {"a1": {"options": {"size": "L", "color": "red"}}}, "n": 3},
    params={
        "order": " #7. ",
        "when": "March 3rd, 2026",
        "pay": "$1,200.50",
        "names": ["Lamp", "Pen"],
        "old": "{'size': 'M', 'color': 'red'}",
        "new": '{"size": "L"}',
        "at": "5 pm",
    },
)


def lookup(name: str) -> dict[str, Any]:
    where = [{"path": ["name"], "equals": {"op": "const", "value": name}}]
    return {
        "op": "lookup",
        "rows": {"op": "output", "step": "order", "path": ["items"]},
        "where": where,
        "take": ["id"],
    }


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ({"op": "slot", "name": "order", "normal": ["trim"]}, "#7"),
        ({"op": "slot", "name": "when", "normal": ["date"]}, "2026-03-03"),
        ({"op": "slot", "name": "at", "normal": ["clock"]}, "17:00"),
        ({"op": "slot", "name": "pay", "normal": ["money"]}, 1200.5),
        ({"op": "slot", "name": "names", "index": 1}, "Pen"),
        ({"op": "slot", "name": "old", "path": ["color"], "literal": True}, "red"),
        ({"op": "output", "step": "order", "path": ["id"]}, "#7"),
        ({"op": "output", "step": "who"}, "ann_1"),
        ({"op": "find", "step": "shelf", "name": "size"}, "L"),
        (lookup("lamp"), "1"),
        ({"op": "map", "rows": {"op": "output", "step": "order", "path": ["items"]}, "take": ["id"]}, ["1", "2", "3"]),
        ({"op": "text", "parts": ["Order ", {"op": "output", "step": "order", "path": ["id"]}, "."]}, "Order #7."),
        (
            {
                "op": "lookup",
                "rows": {"op": "output", "step": "shelf"},
                "where": [
                    {
                        "path": ["options"],
                        "equals": {
                            "op": "override",
                            "old": {"op": "slot", "name": "old", "literal": True},
                            "new": {"op": "slot", "name": "new", "literal": True},
                        },
                    }
                ],
                "take": ["@key"],
            },
            "a1",
        ),
        (
            {
                "op": "branch",
                "on": {"op": "output", "step": "who"},
                "cases": [
                    {"values": ["bob"], "then": {"op": "const", "value": 1}},
                    {"values": ["ann_1"], "then": lookup("Lamp")},
                ],
            },
            "1",
        ),
    ],
)
def test_a_program_gives_the_value_it_describes(program: dict[str, Any], value: Any) -> None:
    assert evaluate(program, SCOPE) == value
    assert parse_program(as_json(parse_program(program))) == parse_program(program)


@pytest.mark.parametrize(
    "program",
    [
        lookup("Pen"),
        lookup("Desk"),
        {"op": "slot", "name": "names"},
        {"op": "slot", "name": "nothing"},
        {"op": "slot", "name": "order", "normal": ["date"]},
        {"op": "output", "step": "order", "path": ["items", 9]},
        {"op": "find", "step": "order", "name": "name"},
        {
            "op": "override",
            "old": {"op": "slot", "name": "new", "literal": True},
            "new": {"op": "slot", "name": "old", "literal": True},
        },
        {"op": "eval", "code": "1"},
        "not a program",
    ],
)
def test_what_is_not_there_or_not_unique_is_unresolved(program: Any) -> None:
    with pytest.raises(ReferenceUnresolved):
        evaluate(program, SCOPE)


def test_a_group_reads_its_own_text_and_its_own_output() -> None:
    scope = Scope(params={"name": ("a", "b")}, outputs={"read": Repeated([{"id": 1}, {"id": 2}])})
    body = Output(step="read", path=("id",))
    assert evaluate(Each(slot="name", body=body), scope) == [1, 2]
    assert evaluate(Each(slot="name", body=Slot(name="name")), scope) == ["a", "b"]
    with pytest.raises(ReferenceUnresolved):
        evaluate(body, scope)


def test_bindings_overlay_references() -> None:
    task = Task(
        task_id="t",
        kind=TaskKind.TOOL,
        tool="x",
        arguments={"a": "${tasks.who.output}", "b": 1},
        bindings={"b": lookup("Lamp")},
    )
    assert bind(task, SCOPE) == {"a": "ann_1", "b": "1"}
    with pytest.raises(ReferenceUnresolved, match="'t' has no value for 'b'"):
        bind(task.model_copy(update={"bindings": {"b": lookup("Pen")}}), SCOPE)


WHO = {"op": "output", "step": "who"}
COUNT = {"op": "output", "step": "n"}


@pytest.mark.parametrize(
    ("guard", "holds"),
    [
        ({"check": "equal", "left": WHO, "right": {"op": "const", "value": "ann_1"}}, True),
        ({"check": "equal", "left": WHO, "right": {"op": "const", "value": "bob"}}, False),
        ({"check": "one_of", "value": WHO, "values": ["ann_1", "bob"]}, True),
        ({"check": "one_of", "value": WHO, "values": ["bob"]}, False),
        ({"check": "shape", "value": COUNT, "shapes": ["number"]}, True),
        ({"check": "shape", "value": COUNT, "shapes": ["text", "flag"]}, False),
        ({"check": "between", "value": COUNT, "low": 1, "high": 3}, True),
        ({"check": "between", "value": COUNT, "low": 4, "high": 9}, False),
        ({"check": "between", "value": WHO, "low": 0, "high": 9}, False),
        ({"check": "distinct", "value": {"op": "slot", "name": "order"}}, False),
        ({"check": "exists", "value": lookup("Lamp")}, True),
        ({"check": "exists", "value": lookup("Pen")}, False),
        ({"check": "not_error", "value": WHO}, True),
        ({"check": "not_error", "value": {"op": "const", "value": "Error: no such user"}}, False),
        ({"check": "not_error", "value": {"op": "const", "value": {"error": "gone"}}}, False),
        ({"check": "run", "value": "rm"}, False),
        (None, False),
    ],
)
def test_a_guard_says_why_it_fails(guard: Any, holds: bool) -> None:
    why = check(guard, SCOPE)
    assert (why is None) == holds
    assert why is None or why


def test_the_first_guard_that_fails_stops_a_task() -> None:
    guards = ({"check": "exists", "value": WHO}, {"check": "one_of", "value": WHO, "values": ["bob"], "why": "is Bob"})
    task = Task(task_id="t", kind=TaskKind.COMPUTE, guards=guards)
    assert "is Bob" in (violated(task, SCOPE) or "")
    assert violated(task.model_copy(update={"guards": guards[:1]}), SCOPE) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "name", "items", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "order"])
PATHS = st.lists(st.sampled_from(["id", "items", "a", 0, -1, "@key"]), max_size=3)
LEAVES = st.one_of(
    st.builds(lambda v: {"op": "const", "value": v}, JSON),
    st.builds(
        lambda n, p, w, lit, i: {"op": "slot", "name": n, "path": p, "normal": w, "literal": lit, "index": i},
        NAMES,
        PATHS,
        st.lists(st.sampled_from(["trim", "number", "money", "date", "clock", "title", "text"]), max_size=2),
        st.booleans(),
        st.none() | st.integers(-3, 3),
    ),
    st.builds(lambda n, p: {"op": "output", "step": n, "path": p}, NAMES, PATHS),
    st.builds(lambda n, p: {"op": "find", "step": n, "name": p}, NAMES, st.sampled_from(["id", "items"])),
)
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda r, p, w, t: {"op": "lookup", "rows": r, "where": [{"path": p, "equals": w}], "take": t},
            inner,
            PATHS,
            inner,
            PATHS,
        ),
        st.builds(lambda r, t: {"op": "map", "rows": r, "take": t}, inner, PATHS),
        st.builds(lambda s, b: {"op": "each", "slot": s, "body": b}, NAMES, inner),
        st.builds(lambda o, n: {"op": "override", "old": o, "new": n}, inner, inner),
        st.builds(lambda o, t: {"op": "branch", "on": o, "cases": [{"values": ["x", None], "then": t}]}, inner, inner),
        st.builds(lambda a, b: {"op": "text", "parts": ["x", a, b]}, inner, inner),
        st.builds(lambda a: {"op": "record", "fields": {"a": a}}, inner),
    ),
    max_leaves=8,
)


@given(program=PROGRAMS, outputs=st.dictionaries(NAMES, JSON), params=st.dictionaries(NAMES, JSON))
def test_hostile_data_raises_nothing_but_unresolved(
    program: Any, outputs: dict[str, Any], params: dict[str, Any]
) -> None:
    scope = Scope(outputs=outputs, params=params)
    try:
        evaluate(program, scope)
    except ReferenceUnresolved as gap:
        assert str(gap)
    why = check({"check": "one_of", "value": program, "values": ["x"]}, scope)
    assert why is None or isinstance(why, str)


def test_deep_nesting_is_unresolved_and_no_crash() -> None:
    program: Any = {"op": "const", "value": 1}
    for _ in range(3000):
        program = {"op": "items", "items": [program]}
    with pytest.raises(ReferenceUnresolved):
        evaluate(program, Scope())
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    rows = Lookup(rows=Output(step="o"), where=(), take=())
    with pytest.raises(ReferenceUnresolved):
        evaluate(Lookup(rows=rows, take=("a",)), Scope(outputs={"o": deep}))
