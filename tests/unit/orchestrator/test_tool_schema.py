"""What a function's signature says about its arguments, and how a registry gathers tools."""

from __future__ import annotations

import functools
import inspect
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from evolvent.events.errors import ConfigInvalid, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.tools import Effect
from evolvent.orchestrator.tools import ToolContext, ToolRegistry, tool
from evolvent.orchestrator.tools.access import RateLimits
from evolvent.orchestrator.tools.decorator import Tool, tool_of
from evolvent.orchestrator.tools.refusals import AdminOnly, BadArguments, ToolInvalid
from evolvent.orchestrator.tools.registry import ToolSettings


class Place(BaseModel):
    city: str
    zone: int = 0


@tool(category="analysis", effect="read", timeout_seconds=10)
async def count_errors(
    service: str,
    since: str = "-1h",
    level: Literal["error", "warning"] = "error",
    *,
    limit: Annotated[int, Field(ge=1, le=100, description="How many.")] = 10,
    ctx: ToolContext,
) -> dict[str, Any]:
    """Count a service's errors.

    And more that no prompt needs.

    Args:
        service: The service's name,
            as it is deployed.
        since (str): From when on.
        limit: Loses against the annotation.
        ctx: Set by the platform.

    Returns:
        Numbers.
    """
    return {}


def made(function: Any) -> Tool:
    found = tool_of(function)
    assert found is not None
    return found


def test_schema_comes_from_signature_and_docstring_and_leaves_the_context_out() -> None:
    assert made(count_errors).spec.parameters == {
        "additionalProperties": False,
        "properties": {
            "service": {"type": "string", "description": "The service's name, as it is deployed."},
            "since": {"type": "string", "default": "-1h", "description": "From when on."},
            "level": {"type": "string", "enum": ["error", "warning"], "default": "error"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10, "description": "How many."},
        },
        "required": ["service"],
        "type": "object",
    }
    assert made(count_errors).spec.description == "Count a service's errors."
    assert made(count_errors).takes_context
    jsonschema.Draft202012Validator.check_schema(made(count_errors).spec.parameters)


def test_a_function_stays_itself_and_undeclared_effects_are_irreversible() -> None:
    def send(to: str) -> str:
        return to

    marked = tool()(send)
    assert marked is send
    assert marked("me") == "me"
    assert made(send).spec.effect is Effect.IRREVERSIBLE
    assert not made(send).is_async


def test_every_bad_field_is_named_and_no_value_is_quoted() -> None:
    with pytest.raises(BadArguments) as caught:
        made(count_errors).check({"since": 5, "limit": 1000, "hunter2": "swordfish", "level": "swordfish"})
    message = str(caught.value)
    for field in ("service", "since", "limit", "level", "hunter2"):
        assert field in message
    assert "swordfish" not in message


def test_a_thousand_unknown_fields_make_a_bounded_message() -> None:
    with pytest.raises(BadArguments) as caught:
        made(count_errors).check({"service": "a", **{f"{index}" * 500: 1 for index in range(1000)}})
    assert len(str(caught.value)) < 8_000
    assert "and 950 more" in str(caught.value)


def test_parameters_may_be_called_like_anything_that_pydantic_has() -> None:
    @tool(effect="pure")
    def odd(schema: int, model_config: str, json: bool, copy: float = 1.5, title: str = "") -> None: ...

    assert made(odd).check({"schema": 1, "model_config": "x", "json": True, "title": "t"}) == {
        "schema": 1,
        "model_config": "x",
        "json": True,
        "title": "t",
    }
    assert list(made(odd).spec.parameters["properties"]) == ["schema", "model_config", "json", "copy", "title"]


def test_nested_models_and_times_arrive_as_python_values() -> None:
    @tool(effect="pure")
    def visit(place: Place, at: datetime, others: list[Place] | None = None) -> None: ...

    checked = made(visit).check({"place": {"city": "Bonn"}, "at": "2026-01-02T03:04:05Z"})
    assert checked["place"] == Place(city="Bonn")
    assert checked["at"].year == 2026
    assert "others" not in checked
    jsonschema.Draft202012Validator.check_schema(made(visit).spec.parameters)


def starred(*args: int) -> None: ...
def double_starred(**more: int) -> None: ...
def untyped(a) -> None: ...  # type: ignore[no-untyped-def]
def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def foreign_context(ctx: int) -> None: ...
def no_json(a: ToolRegistry) -> None: ...
def generated(a: int) -> Any:
    yield a


@pytest.mark.parametrize(
    "function", [starred, double_starred, untyped, unresolved, foreign_context, no_json, generated, Place]
)
def test_a_function_that_cannot_be_described_is_refused_by_name(function: Any) -> None:
    with pytest.raises(ToolInvalid, match=f"'{function.__name__}'"):
        tool()(function)


@pytest.mark.parametrize(
    "options", [{"name": "a b"}, {"name": "x" * 65}, {"effect": "harmless"}, {"access": "all"}, {"timeout_seconds": 0}]
)
def test_a_bad_declaration_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ToolInvalid):
        tool(**options)(lambda: None)


def test_forgotten_parentheses_are_explained() -> None:
    with pytest.raises(ToolInvalid, match="parentheses"):
        tool(starred)  # type: ignore[arg-type]


def test_a_wrapped_or_twice_marked_tool_is_refused() -> None:
    @functools.wraps(count_errors)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return count_errors(*args, **kwargs)

    with pytest.raises(ToolInvalid, match="above all others"):
        ToolRegistry().register(wrapper)
    with pytest.raises(ToolInvalid, match="already"):
        tool(name="again")(count_errors)


@tool(effect="pure")
def probe(a: int, b: str = "x", c: list[float] | None = None) -> None: ...


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(arguments=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), JSON, max_size=4))
def test_whatever_a_model_sends_is_bound_to_the_signature_or_refused(arguments: dict[str, Any]) -> None:
    try:
        checked = made(probe).check(arguments)
    except BadArguments as error:
        str(error).encode()
        return
    assert set(checked) == set(arguments) <= {"a", "b", "c"}
    assert type(checked["a"]) is int
    inspect.signature(probe).bind(**checked)


@settings(max_examples=200, deadline=None)
@given(
    arguments=st.fixed_dictionaries(
        {"a": st.integers()},
        optional={"b": st.text(), "c": st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False))},
    )
)
def test_whatever_fits_the_schema_is_accepted(arguments: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(json.dumps(arguments)), made(probe).spec.parameters)
    assert made(probe).check(arguments) == arguments


# -- the registry ---------------------------------------------------------------------------------------------------


@tool(effect="pure")
def open_tool() -> None: ...


@tool(effect="pure", access="restricted")
def kept_tool() -> None: ...


@tool(effect="pure", access="admin")
def admin_tool() -> None: ...


def agent(agent_id: str = "a_1", tools: tuple[str, ...] | None = None) -> AgentSpec:
    return AgentSpec(agent_id=agent_id, specialty="s", system_prompt="p", model="m", tools=tools)


def registry_of(*functions: Any, **options: Any) -> ToolRegistry:
    registry = ToolRegistry(ToolSettings(**options))
    for function in functions:
        registry.register(function)
    return registry


def offered(registry: ToolRegistry, spec: AgentSpec, goal: str = "default") -> list[str]:
    return [one.name for one in registry.offered_to(spec, goal)]


def test_an_agent_that_nothing_narrows_is_offered_its_goals_public_tools() -> None:
    registry = registry_of(
        count_errors, open_tool, kept_tool, admin_tool, goal_tools={"small": frozenset({"open_tool", "kept_tool"})}
    )
    assert offered(registry, agent()) == ["count_errors", "open_tool"]
    assert offered(registry, agent(), "small") == ["open_tool"]


def test_a_grant_offers_a_restricted_tool_to_this_agent_only_until_it_is_revoked() -> None:
    registry = registry_of(open_tool, kept_tool)
    registry.grant("a_1", ["kept_tool"])
    assert offered(registry, agent("a_1")) == ["kept_tool", "open_tool"]
    assert offered(registry, agent("a_2")) == ["open_tool"]
    registry.revoke("a_1", ["kept_tool"])
    assert offered(registry, agent("a_1")) == ["open_tool"]


def test_a_spec_narrows_and_never_widens() -> None:
    registry = registry_of(count_errors, open_tool, kept_tool, admin_tool)
    spec = agent(tools=("open_tool", "kept_tool", "admin_tool", "made_up"))
    assert offered(registry, spec) == ["open_tool"]
    assert offered(registry, agent(tools=())) == []


def test_unknown_and_admin_tools_cannot_be_granted() -> None:
    registry = registry_of(kept_tool, admin_tool)
    with pytest.raises(NotFound, match="made_up"):
        registry.grant("a_1", ["kept_tool", "made_up"])
    with pytest.raises(AdminOnly, match="admin_tool"):
        registry.grant("a_1", ["kept_tool", "admin_tool"])
    assert registry.granted_to("a_1") == frozenset()


def test_two_tools_of_one_name_clash_and_the_same_one_twice_does_not() -> None:
    registry = registry_of(open_tool, open_tool)
    assert [spec.name for spec in registry.specs()] == ["open_tool"]
    with pytest.raises(ConfigInvalid, match="open_tool"):
        registry.register(tool(name="open_tool")(starless))


def starless() -> None: ...


@pytest.fixture
def module_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("user_tools"):
            del sys.modules[name]


def test_modules_named_in_settings_bring_all_their_tools(module_folder: Path) -> None:
    (module_folder / "user_tools_good.py").write_text(
        "from __future__ import annotations\n"
        "from evolvent.orchestrator.tools import tool, ToolContext\n"
        "@tool(effect='pure')\nasync def twice(n: int, *, ctx: ToolContext) -> int: return 2 * n\n"
        "@tool(name='thrice', effect='pure')\ndef three(n: int) -> int: return 3 * n\n"
        "def helper(): ...\n"
    )
    registry = ToolRegistry()
    registry.load_modules(["user_tools_good", "user_tools_good"])
    assert [spec.name for spec in registry.specs()] == ["thrice", "twice"]
    assert registry.get("twice").module == "user_tools_good"
    with pytest.raises(NotFound):
        registry.specs(["twice", "three"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import nowhere_at_all\n", "nowhere_at_all"),
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('password=hunter2 is wrong')\n", "RuntimeError"),
        ("import sys\nsys.exit(3)\n", "SystemExit"),
        ("x = 1\n", "holds no tool"),
    ],
)
def test_a_broken_module_is_named_with_its_reason(module_folder: Path, source: str, reason: str) -> None:
    (module_folder / "user_tools_bad.py").write_text(source)
    with pytest.raises(ConfigInvalid, match=reason) as caught:
        ToolRegistry().load_modules(["user_tools_bad"])
    assert "user_tools_bad" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_file_tools_are_there_only_where_a_folder_is_open(tmp_path: Path) -> None:
    closed, opened = ToolRegistry(), ToolRegistry(ToolSettings(allowed_folders=(tmp_path,)))
    closed.load_builtin()
    opened.load_builtin()
    plain = {"calculate_metrics", "json_parse", "json_stringify", "system_resources"}
    assert {spec.name for spec in closed.specs()} == plain
    assert {spec.name for spec in opened.specs()} == plain | {"list_files", "read_file", "search_logs"}
    for spec in opened.specs():
        jsonschema.Draft202012Validator.check_schema(spec.parameters)
        assert "ctx" not in spec.parameters["properties"]
        assert all(value.get("description") for value in spec.parameters["properties"].values())


@settings(max_examples=100, deadline=None)
@given(pauses=st.lists(st.floats(0, 20), min_size=1, max_size=80), limit=st.integers(1, 10))
def test_no_minute_sees_more_than_a_full_bucket_and_what_flows_in(pauses: list[float], limit: int) -> None:
    limits, now, taken = RateLimits(limit, {}), 0.0, 0
    for pause in pauses:
        now += pause
        wait = limits.seconds_to_wait("a", "t", now)
        taken += not wait
        assert taken <= limit + now * limit / 60 + 1e-6
        if wait:
            assert limits.seconds_to_wait("a", "t", now + wait - 1e-3) > 0
    assert limits.seconds_to_wait("another", "t", now) == 0
