"""Transformations: what they make, how they fail, and what they refuse to grow into."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from support.dags import json_values
from support.mission_workflows import TRANSFORMATIONS

from evolvent.events.language.jmespath_search import SearchFailed, search
from evolvent.events.language.json_bounds import structured
from evolvent.events.language.transformations import Transformation
from evolvent.events.language.transforms import transform
from evolvent.events.language.workflow_problems import TransformFailed

ROWS = [
    {"id": 1, "status": "active", "n": 5, "tags": ["x"], "at": {"date": "2024-03-01"}},
    {"id": 2, "status": "closed", "n": 7, "tags": [], "at": {"date": "2023-03-01"}},
    {"id": 3, "status": "active", "n": None, "at": {}},
]
STEPS: TypeAdapter[tuple[Transformation, ...]] = TypeAdapter(tuple[Transformation, ...])


def run(value: object, *steps: dict[str, Any]) -> Any:
    return transform(STEPS.validate_python(steps), value, task_id="fetch")


@pytest.mark.parametrize(
    ("criteria", "ids"),
    [
        ({"status": {"equals": "active"}}, [1, 3]),
        ({"status": {"not_equals": "active"}}, [2]),
        ({"n": {"greater_than": 5}}, [2]),
        ({"n": {"less_than": 7}}, [1]),
        ({"n": {"greater_than": 4, "less_than": 6}}, [1]),
        ({"status": {"in": ["closed", "gone"]}}, [2]),
        ({"tags": {"contains": "x"}}, [1]),
        ({"status": {"contains": "act"}}, [1, 3]),
        ({"tags": {"exists": False}}, [3]),
        ({"at.date": {"greater_than": "2024-01-01"}}, [1]),
        ({"n": {"equals": None}}, [3]),
        ({"id": {"equals": True}}, []),
        ({"none": {"not_equals": 1}}, [1, 2, 3]),
    ],
)
def test_filter_keeps_what_meets_all_criteria(criteria: dict[str, Any], ids: list[int]) -> None:
    step = {"type": "filter", "criteria": criteria}
    assert [row["id"] for row in run(ROWS, step)] == ids
    assert [row["id"] for row in run({"total": 3, "rows": ROWS}, step)["rows"]] == ids


def test_a_path_says_which_part_is_meant() -> None:
    value = {"one": [1], "two": {"rows": ROWS}}
    made = run(value, {"type": "filter", "path": "two.rows", "criteria": {"id": {"equals": 2}}})
    assert made == {"one": [1], "two": {"rows": [ROWS[1]]}}


def test_map_renames_and_drops_the_rest() -> None:
    assert run(ROWS[:1], {"type": "map", "mapping": {"at.date": "day", "id": "key"}}) == [
        {"day": "2024-03-01", "key": 1}
    ]


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ({"aggregate_type": "sum"}, 6),
        ({"aggregate_type": "count"}, 3),
        ({"aggregate_type": "avg"}, 2.0),
        ({"aggregate_type": "min"}, 1),
        ({"aggregate_type": "max"}, 3),
    ],
)
def test_aggregate_makes_one_number_of_many(step: dict[str, Any], value: object) -> None:
    assert run([1, 2, 3], {"type": "aggregate", **step}) == value
    assert run([{"n": 1}, {"n": 2}, {"n": 3}], {"type": "aggregate", "field": "n", **step}) == value


def test_aggregate_groups_by_a_key() -> None:
    sums = run(ROWS[:2], {"type": "aggregate", "aggregate_type": "sum", "field": "n", "group_by": "status"})
    assert sums == {"active": 5, "closed": 7}
    groups = run(ROWS, {"type": "aggregate", "aggregate_type": "group_by", "group_by": "status"})
    assert [row["id"] for row in groups["active"]] == [1, 3]
    columns = run([{"n": 1, "m": 2, "s": "x"}, {"n": 3}], {"type": "aggregate", "aggregate_type": "sum"})
    assert columns == {"n": 4, "m": 2}


def test_empty_lists_aggregate_to_nothing() -> None:
    assert run([], {"type": "aggregate", "aggregate_type": "sum"}) == 0
    assert run([], {"type": "aggregate", "aggregate_type": "avg"}) is None


def test_the_documents_example_runs_on_what_an_agent_wrote() -> None:
    fetch, process = (STEPS.validate_python(step["data_transformations"]) for step in TRANSFORMATIONS)
    rows = [{"status": "active", "n": 2}, {"status": "closed", "n": 3}]
    kept = transform(fetch, f"```json\n{json.dumps({'records': rows})}\n```")
    assert kept == {"records": rows[:1]}
    assert transform(process, kept) == {"n": 2}


def test_jmespath_says_the_rest() -> None:
    expression = "[?status=='active'].{id: id, day: at.date} | [0]"
    assert run(ROWS, {"type": "jmespath", "expression": expression}) == {"id": 1, "day": "2024-03-01"}


@pytest.mark.parametrize(
    ("value", "step", "names"),
    [
        (ROWS, {"type": "map", "mapping": {"at.date": "day"}}, ["'at.date'", "transformation 1 (map)"]),
        (ROWS, {"type": "filter", "criteria": {"status": {"greater_than": 3}}}, ["'status'", "a text"]),
        (ROWS, {"type": "aggregate", "aggregate_type": "sum", "field": "n"}, ["'n'", "null"]),
        ("plain text", {"type": "filter", "criteria": {"a": {"exists": True}}}, ["a list is wanted"]),
        ({"a": [], "b": []}, {"type": "aggregate", "aggregate_type": "sum"}, ["'a', 'b'", "`path`"]),
        (ROWS, {"type": "jmespath", "expression": "sum(@)"}, ["sum(@)"]),
        (ROWS, {"type": "filter", "path": "x.y", "criteria": {"a": {"exists": True}}}, ["'x'"]),
        ([1e308, 1e308], {"type": "aggregate", "aggregate_type": "sum"}, ["too large"]),
    ],
)
def test_a_misfit_names_its_task_and_path(value: object, step: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(TransformFailed) as caught:
        run(value, step)
    assert all(name in str(caught.value) for name in ["Task 'fetch'", *names]), str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "[@,@]" + "|[@,@]" * 300,
        "[@,@]" + "|[@,@]" * 30 + "|to_string(@)",
        "[@,@]" + "[][]|[@,@]" * 150,
        "join('',[@,@])" + "|join('',[@,@])" * 90,
        "[" * 1500,
        "&a",
        "no such )",
    ],
)
def test_an_expression_that_grows_without_end_is_stopped(expression: str) -> None:
    with pytest.raises(SearchFailed):
        search(expression, "x" * 100)


def test_unknown_operators_and_types_are_refused_when_read() -> None:
    for step in ({"type": "filter", "criteria": {"a": {"like": 1}}}, {"type": "eval", "code": "1"}):
        with pytest.raises(ValidationError):
            STEPS.validate_python([step])


_PATHS = st.sampled_from(["", "a", "b.c", "records", "[0]", "a[1]"])
_OPERATORS = st.sampled_from(["equals", "not_equals", "greater_than", "less_than", "in", "contains", "exists"])
_STEPS = st.one_of(
    st.builds(
        lambda path, key, operator, value: {"type": "filter", "path": path, "criteria": {key: {operator: value}}},
        _PATHS,
        _PATHS,
        _OPERATORS,
        json_values(),
    ),
    st.builds(lambda path, key: {"type": "map", "path": path, "mapping": {key: "out"}}, _PATHS, _PATHS),
    st.builds(
        lambda how, key, group: {"type": "aggregate", "aggregate_type": how, "field": key, "group_by": group},
        st.sampled_from(["sum", "count", "avg", "min", "max"]),
        st.none() | _PATHS,
        st.none() | _PATHS,
    ),
    st.builds(
        lambda text: {"type": "jmespath", "expression": text},
        st.sampled_from(["a", "[]", "keys(@)", "avg(@)", "[*].a", "sort(@)", "max_by(@, &a)", "to_number(a)", "*.a"]),
    ),
)


@settings(max_examples=300)
@given(json_values(), st.lists(_STEPS, min_size=1, max_size=3))
def test_any_transformation_of_any_output_ends_in_json_or_a_typed_error(value: object, steps: list[Any]) -> None:
    before = json.dumps(value)
    try:
        made = run(value, *steps)
    except TransformFailed as failed:
        assert "Task 'fetch'" in str(failed)
    else:
        json.dumps(made, allow_nan=False)
    assert json.dumps(value) == before


@given(st.text())
def test_reading_a_text_as_json_never_fails(text: str) -> None:
    structured(text)
    structured("[" + text)
    structured("[" * 100_000)
