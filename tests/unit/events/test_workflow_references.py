"""References: what they reach, what they refuse, and that they never run anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import json_values

from evolvent.events.errors import EvolventError
from evolvent.events.language.json_paths import NoSuchPart, follow, parse_path, show_path
from evolvent.events.language.references import Scope, references_in, resolve
from evolvent.events.language.workflow_problems import ReferenceInvalid, ReferenceUnresolved

SCOPE = Scope(
    outputs={"fetch": {"rows": [{"n": 1}, {"n": 2}]}, "say": '{"score": 0.5}'},
    params={"limit": 3, "service": "web"},
    context={"account": {"id": "ACC-1"}},
    request={"message": "Why?"},
    item={"line": "x"},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${tasks.fetch.output.rows[1].n}", 2),
        ("${tasks.fetch.output.rows}", [{"n": 1}, {"n": 2}]),
        ("${tasks.fetch.output.rows[-1]}", {"n": 2}),
        ('${tasks.fetch.output["rows"][0]}', {"n": 1}),
        ("${tasks.say.output.score}", 0.5),
        ("${ params.limit }", 3),
        ("top ${params.limit} of ${params.service}", "top 3 of web"),
        ("${context.account.id}", "ACC-1"),
        ("got ${context.account}", 'got {"id":"ACC-1"}'),
        ("${request.message}", "Why?"),
        ("${item.line}", "x"),
        ("a plain $${params.limit}", "a plain ${params.limit}"),
        ("no $reference {here}", "no $reference {here}"),
    ],
)
def test_a_reference_becomes_what_it_leads_to(text: str, value: object) -> None:
    assert resolve(text, SCOPE) == value
    assert resolve({"a": [text, 1]}, SCOPE) == {"a": [value, 1]}


def test_what_a_reference_leads_to_is_not_searched_again() -> None:
    scope = Scope(outputs={"a": "${params.secret}"}, params={"secret": "s"})
    assert resolve("${tasks.a.output}", scope) == "${params.secret}"
    assert resolve("it says ${tasks.a.output}", scope) == "it says ${params.secret}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("${tasks.fetch.output.rows[7]}", ["'report'", "tasks.fetch.output.rows[7]", "2 items"]),
        ("${tasks.fetch.output.cols}", ["'report'", "'cols'", "'rows'"]),
        ("${tasks.other.output}", ["'report'", "'other'", "not done"]),
        ("${params.limit.x}", ["'report'", "limit.x", "only 3"]),
    ],
)
def test_a_reference_to_nothing_names_its_task_and_path(text: str, names: list[str]) -> None:
    with pytest.raises(ReferenceUnresolved) as caught:
        resolve(text, SCOPE, task_id="report")
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "text",
    [
        "${__import__('os').system('id')}",
        "${params.limit + 1}",
        "${params.limit()}",
        "${tasks.fetch}",
        "${env.HOME}",
        "${}",
        "${params",
        "${params.a..b}",
        "${.params}",
        "${tasks.fetch.state}",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        resolve(text, SCOPE)
    with pytest.raises(ReferenceInvalid):
        references_in({"a": [text]})


def test_attributes_are_out_of_reach() -> None:
    for name in ("__class__", "keys", "__init__.__globals__"):
        with pytest.raises(ReferenceUnresolved):
            resolve(f"${{params.{name}}}", SCOPE)


def test_references_are_found_once_wherever_they_stand() -> None:
    found = references_in({"a": ["${params.x} ${params.x}", {"b": "$${params.y} ${tasks.t.output.z}"}]})
    assert [(r.root, r.task_id, r.path) for r in found] == [("params", None, ("x",)), ("tasks", "t", ("z",))]


@given(st.text(alphabet="${}tasks.params[]0'\"()_ ", max_size=40) | st.text(max_size=30))
def test_any_text_resolves_or_fails_with_a_typed_error(text: str) -> None:
    try:
        resolved = resolve(text, SCOPE)
    except EvolventError:
        return
    assert "${" in text or resolved == text


@given(json_values())
def test_a_value_without_references_stays_as_it_is(value: object) -> None:
    if "${" not in str(value):
        assert resolve(value, SCOPE) == value


@given(json_values(), st.lists(st.sampled_from(["a", "b", "records", "x y", 0, 1, -1]), max_size=4))
def test_paths_read_back_as_written_and_lead_somewhere_or_say_where_not(value: object, parts: list[str | int]) -> None:
    path = tuple(parts)
    assert parse_path(show_path(path)) == path
    try:
        follow(value, path)
    except NoSuchPart as gap:
        assert len(gap.args) == 2
