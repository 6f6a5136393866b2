"""From induced programs to an automation, and from automations to one workflow that an engine can run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.learning_domains import DOMAINS, read, recorded, write
from support.learning_runner import recorded_tools, run

from evolvent.events.language.learning.automation import Automation, needs_confirmation
from evolvent.events.language.learning.compilation import Pattern, compile_automation
from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.induced import Induced, NotLearnt
from evolvent.events.language.learning.induction import induce
from evolvent.events.language.learning.instantiation import CHECKED, instantiate, request_params
from evolvent.events.language.learning.links import Links, learn_links
from evolvent.events.language.learning.placement import NotServed
from evolvent.events.language.learning.retro import retrospect
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.validation import problems
from evolvent.events.language.workflow import TaskKind, Workflow


def compiled(examples: list[Example], signature: str = "s", links: Links | None = None, **given: Any) -> Automation:
    induced = induce(examples)
    assert isinstance(induced, Induced), induced
    pattern = Pattern(signature, {"words": ["do", "{a}"]}, links=links or Links())
    found = compile_automation(pattern, examples, induced, **given)
    assert isinstance(found, Automation), found
    return found


def refused(examples: list[Example], **given: Any) -> str:
    induced = induce(examples)
    assert isinstance(induced, Induced), induced
    found = compile_automation(Pattern("s"), examples, induced, **given)
    assert isinstance(found, NotLearnt)
    return found.reason


def served(parts: list[tuple[Automation, Any]]) -> Workflow:
    found = instantiate(parts, agent_id="desk")
    assert isinstance(found, Workflow), found
    return found


def writes_of(example: Example) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool, dict(call.arguments)) for call in example.calls if call.is_write]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_new_request_is_served_as_the_agent_would_have_done(domain: str) -> None:
    automation = compiled(recorded(domain, 14))
    for fresh in recorded(domain, 8, seed=9):
        parts = [(automation, fresh.slots)]
        ran = run(served(parts), request_params(parts), recorded_tools(fresh))
        if ran.handed_over is None:
            assert [call for call in ran.calls if call in writes_of(fresh)] == writes_of(fresh)
            assert fresh.answer is None or ran.output == fresh.answer


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_automation_is_plain_json_and_named_by_its_content(domain: str) -> None:
    automation = compiled(recorded(domain, 14))
    again = Automation.model_validate_json(automation.model_dump_json())
    assert again == automation
    assert again.content_hash == automation.content_hash
    assert automation.model_copy(update={"version": 9, "principals": 1}).content_hash == automation.content_hash
    assert automation.effect is Effect.KEYED
    assert automation.tools.keys() == {step.tool for step in automation.steps}
    assert len(automation.run_ids) == 14


def test_kinds_say_what_a_model_still_does() -> None:
    assert compiled(recorded("operations", 12)).kind == "full"
    assert compiled(recorded("bank", 12)).kind == "shrink"
    bank = compiled(recorded("bank", 12))
    fresh = recorded("bank", 1, seed=3)[0]
    answer = served([(bank, fresh.slots)]).by_id["answer"]
    assert answer.kind is TaskKind.AGENT
    assert answer.required_tools == ()
    assert [name.split("_", 1)[1] for name in answer.dependencies] == ["transfer"]


def test_no_write_comes_before_the_barrier_and_writes_come_one_by_one() -> None:
    automation = compiled(recorded("calendar", 14))
    fresh = next(each for each in recorded("calendar", 9, seed=2) if len(each.slots["guest"]) == 3)
    workflow = served([(automation, fresh.slots)])
    writes = [task for task in workflow.tasks if task.tool in ("put_event", "notify")]
    assert len(writes) == 4
    for before, task in zip([CHECKED, *(task.task_id for task in writes)], writes, strict=False):
        assert before in task.dependencies
    reads = {task.task_id for task in workflow.tasks if task.tool in ("find_event", "find_person")}
    assert reads == set(workflow.by_id[CHECKED].dependencies)
    assert workflow.takeover is not None
    assert not problems(workflow)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_read_that_goes_wrong_stops_before_any_write(domain: str) -> None:
    automation = compiled(recorded(domain, 14))
    fresh = recorded(domain, 1, seed=4)[0]
    first = fresh.calls[0]
    for bad in ("Error: down", {"error": "down"}, {}, None, [], "<script>"):
        tools = recorded_tools(replace(fresh, calls=(replace(first, result=bad), *fresh.calls[1:])))
        parts = [(automation, fresh.slots)]
        ran = run(served(parts), request_params(parts), tools)
        assert ran.handed_over
        assert not [call for call in ran.calls if call in writes_of(fresh)]


def test_a_look_up_that_fits_twice_stops_before_any_write() -> None:
    automation = compiled(recorded("operations", 12))
    fresh = recorded("operations", 1, seed=4)[0]
    hosts = [*fresh.calls[0].result["hosts"]] * 2
    twice = replace(fresh, calls=(replace(fresh.calls[0], result={"hosts": hosts}), *fresh.calls[1:]))
    parts = [(automation, fresh.slots)]
    ran = run(served(parts), request_params(parts), recorded_tools(twice))
    assert "2 rows" in (ran.handed_over or "")
    assert [name for name, _ in ran.calls] == ["list_hosts"]


def test_clauses_share_a_read_and_keep_their_order() -> None:
    automation = compiled(recorded("operations", 12))
    fresh = recorded("operations", 1, seed=4)[0]
    names = [host["name"] for host in fresh.calls[0].result["hosts"]][:2]
    parts = [(automation, {"host": name}) for name in names]
    workflow = served(parts)
    assert [task.tool for task in workflow.tasks if task.tool] == ["list_hosts", "restart_host", "restart_host"]
    tools = recorded_tools(fresh)
    ran = run(workflow, request_params(parts), lambda n, a: {"job": "j-1"} if n == "restart_host" else tools(n, a))
    ids = [host["host_id"] for host in fresh.calls[0].result["hosts"]][:2]
    assert [arguments["host_id"] for _, arguments in ran.calls[1:]] == ids
    assert ran.output.count("restarts now") == 2


def test_a_missing_slot_is_never_filled_in() -> None:
    automation = compiled(recorded("bank", 12))
    slots = {name: text for name, text in recorded("bank", 1, seed=2)[0].slots.items() if name != "amount"}
    found = instantiate([(automation, slots)], agent_id="desk")
    assert isinstance(found, NotServed)
    assert "amount" in found.reason
    assert isinstance(instantiate([], agent_id="desk"), NotServed)
    guests = compiled(recorded("calendar", 12))
    empty = {**recorded("calendar", 1)[0].slots, "guest": ()}
    assert isinstance(instantiate([(guests, empty)], agent_id="desk"), NotServed)


def spec(name: str, effect: Effect, **properties: Any) -> ToolSpec:
    parameters = {"type": "object", "properties": properties, "required": sorted(properties)}
    return ToolSpec(name=name, effect=effect, parameters=parameters)


def hosts_tools(**changes: Any) -> dict[str, ToolSpec]:
    text = {"type": "string"}
    tools = {
        "list_hosts": spec("list_hosts", Effect.READ),
        "restart_host": spec("restart_host", Effect.KEYED, host_id=text, mode=text),
    }
    return {name: tool for name, tool in {**tools, **changes}.items() if tool is not None}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"restart_host": None}, "gone"),
        ({"restart_host": spec("restart_host", Effect.IRREVERSIBLE, host_id={}, mode={})}, "is now irreversible"),
        ({"restart_host": spec("restart_host", Effect.KEYED, host_id={}, mode={}, who={})}, "wants who"),
        ({"restart_host": spec("restart_host", Effect.KEYED, host_id={"type": "integer"}, mode={})}, "does not take"),
    ],
)
def test_static_checks_refuse_what_no_longer_fits_the_tools(changes: dict[str, Any], why: str) -> None:
    runs = recorded("operations", 10)
    assert compiled(runs, tools=hosts_tools()).tools
    assert why in refused(runs, tools=hosts_tools(**changes))


def test_a_changed_schema_is_refused() -> None:
    tools = hosts_tools()
    runs = [
        replace(each, calls=tuple(replace(call, schema_hash=tools[call.tool].schema_hash) for call in each.calls))
        for each in recorded("operations", 10)
    ]
    assert compiled(runs, tools=tools).tools["restart_host"] == tools["restart_host"].schema_hash
    changed = spec("restart_host", Effect.KEYED, host_id={"type": "string"}, mode={"type": "string", "maxLength": 99})
    assert "has changed" in refused(runs, tools=hosts_tools(restart_host=changed))


def who(number: int) -> Example:
    calls = (read("who", "authenticate", {"name": f"n{number}"}, {"user": f"u{number}"}),)
    return Example(f"r{number}", {"name": f"n{number}"}, calls)


def order(number: int, owner: str | None = None) -> Example:
    record = {"order": f"#{number}", "user_id": owner or f"u{number}"}
    calls = (read("order", "get_order", {"id": f"#{number}"}, record), write("cancel", "cancel", {"id": f"#{number}"}))
    return Example(f"r{number}", {"order": f"#{number}"}, calls)


def test_whose_record_it_is_is_learnt_across_clauses() -> None:
    names, orders = [who(n) for n in range(8)], [order(n) for n in range(8)]
    links = learn_links(orders, {"who": names})
    assert links.requires == ("who",)
    cancel, hello = compiled(orders, "cancel", links), compiled(names, "who", learn_links(names, {"cancel": orders}))
    for own, mine in ((order(20), True), (order(20, owner="somebody"), False)):
        parts = [(hello, {"name": "n20"}), (cancel, own.slots)]
        ran = run(served(parts), request_params(parts), recorded_tools(who(20), own))
        assert (ran.handed_over is None) == mine
        assert (("cancel", {"id": "#20"}) in ran.calls) == mine
    alone = instantiate([(cancel, {"order": "#20"})], agent_id="desk")
    assert isinstance(alone, NotServed)
    assert "without a clause that is missing" in alone.reason


def test_what_was_always_beside_a_write_but_is_too_rare_to_judge_blocks_it() -> None:
    orders = [order(n) for n in range(4)]
    links = learn_links(orders, {"who": [who(0), who(1)], "zip": [who(2), who(3)]})
    assert links.is_unsettled
    induced = induce(orders)
    assert isinstance(induced, Induced)
    assert isinstance(compile_automation(Pattern("c", links=links), orders, induced), NotLearnt)
    assert learn_links(orders, {"who": [who(0)]}).requires == ()


@pytest.mark.parametrize("domain", DOMAINS)
def test_leave_one_out_is_never_wrong_and_mostly_answers(domain: str) -> None:
    report = retrospect(recorded(domain, 24))
    assert not report.misses
    assert report.precision == 1.0
    assert report.coverage >= 0.8
    assert retrospect(recorded(domain, 3)).agreed == ()


def test_a_request_that_writes_is_confirmed_where_a_word_of_it_is_not_looked_at() -> None:
    names = [replace(each, slots={**each.slots, "nick": f"x{n}"}) for n, each in enumerate(who(k) for k in range(8))]
    hello, cancel = compiled(names, "who"), compiled([order(n) for n in range(8)], "cancel")
    assert hello.ignored_slots == ("nick",)
    assert not needs_confirmation([hello])
    assert not needs_confirmation([cancel])
    assert needs_confirmation([hello, cancel])
