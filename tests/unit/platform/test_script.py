"""The script language of the scripted model server, and what the shipped demo script says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.platform.scripted_model.chat import Answer, BadRequest, Call, ChatRequest, first_user_hash
from evolvent.platform.scripted_model.completions import capped
from evolvent.platform.scripted_model.faults import Fault, FaultBoard, FaultKind
from evolvent.platform.scripted_model.script import Script, ScriptError
from evolvent.platform.scripted_model.templates import fill

DEMO_TOOLS = ("system_resources", "search_logs", "read_file", "json_parse", "calculate_metrics")


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def request(*messages: dict[str, Any], tools: tuple[str, ...] = DEMO_TOOLS, **more: Any) -> ChatRequest:
    return ChatRequest("m", messages, tools, **more)


def answered(asked: ChatRequest, script: Script, *results: object) -> ChatRequest:
    """Return the conversation one round further on: the script's calls, and these results."""
    calls = script.answer(asked).calls
    assert len(calls) == len(results)
    at = len(asked.messages)
    made = [{"id": f"c{at}_{i}", "function": {"name": c.name, "arguments": c.arguments}} for i, c in enumerate(calls)]
    told = [
        {"role": "tool", "tool_call_id": f"c{at}_{i}", "content": r if isinstance(r, str) else json.dumps(r)}
        for i, r in enumerate(results)
    ]
    return request(
        *asked.messages, {"role": "assistant", "content": None, "tool_calls": made}, *told, tools=asked.tools
    )


def test_the_first_rule_whose_conditions_all_hold_answers() -> None:
    rules = [
        {"name": "needs a tool", "when": {"user": "hello", "tools": ["fly"]}, "turns": [{"text": "one"}]},
        {"name": "needs a system", "when": {"user": "HELLO", "system": "pirate"}, "turns": [{"text": "two"}]},
        {"name": "exact", "when": {"user": {"equals": "hello"}, "model": "m"}, "turns": [{"text": "three"}]},
        {"name": "any", "turns": [{"text": "four"}]},
    ]
    script = Script({"rules": rules})
    assert script.answer(request(user("hello"), tools=("fly",))).text == "one"
    assert script.answer(request({"role": "system", "content": "a Pirate"}, user("hello"))).text == "two"
    assert script.answer(request(user("hello"))).text == "three"
    assert script.answer(request(user("hello you"))).text == "four"


def test_a_rule_is_found_by_the_hash_of_the_first_user_message() -> None:
    digits = first_user_hash("replay me")
    script = Script({"rules": [{"when": {"first_user_hash": digits[:16]}, "turns": [{"text": "found"}]}]})
    assert script.answer(request(user("replay me"), user("and more"))).text == "found"
    assert script.answer(request(user("replay you"))).rule == "default"


def test_the_turn_follows_from_the_tool_results_seen_so_far_and_from_nothing_else() -> None:
    turns = [{"tool_calls": [{"name": "a"}, {"name": "b"}]}, {"tool_calls": [{"name": "c"}]}, {"text": "done"}]
    script = Script({"rules": [{"when": {"user": "go"}, "turns": turns}]})
    first = request(user("go"))
    second = answered(first, script, 1, 2)
    third = answered(second, script, 3)
    for _ in range(2):  # asked again, the same answer
        assert [call.name for call in script.answer(first).calls] == ["a", "b"]
        assert [call.name for call in script.answer(second).calls] == ["c"]
        assert script.answer(third).text == "done"
    again = request(*third.messages, {"role": "assistant", "content": "done"}, user("go again"))
    assert [call.name for call in script.answer(again).calls] == ["a", "b"]


def test_a_rule_may_count_its_turns_from_the_start_of_the_conversation() -> None:
    turns = [{"tool_calls": [{"name": "a"}]}, {"text": "second"}]
    script = Script({"rules": [{"when": {"first_user": "go"}, "count_from": "start", "turns": turns}]})
    later = answered(request(user("go")), script, 1)
    assert script.answer(request(*later.messages, user("more"))).text == "second"


def test_a_script_that_is_used_up_says_so_and_calls_nothing_for_ever() -> None:
    script = Script({"rules": [{"turns": [{"tool_calls": [{"name": "a"}]}]}]})
    over = script.answer(answered(request(user("go")), script, 1))
    assert over.calls == ()
    assert over.text is not None and "nothing further" in over.text


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{{ match.name }} is {{ tool.0.result.size }}", "Ann is 3"),
        ("{{ tool.0.result.items }}", [{"n": 1}, {"n": 2.5}]),
        ("{{ tool.0.result.items.*.n }}", [1, 2.5]),
        ("{{ tool.0.result.items.*.n | join: ' / ' }}", "1 / 2.5"),
        ("n = {{ tool.0.result.items.1.n | round }}", "n = 2"),
        ("{{ tool.0.result.items | lines }}", "- n: 1\n- n: 2.5"),
        ("{{ tool.last.result.items | count }}", 2),
        ("{{ tool.list.text | truncate: 8 }}", '{"size":…'),
        ("{{ nowhere or match.name }}", "Ann"),
        ("{{ tool.0.result.nothing }}", "(no tool.0.result.nothing)"),
        ("x{{ tool.9.text | lower }}", "x(no tool.9.text)"),
        ("{{ tool.9.text | default: none }}", "none"),
        ("{{ user | numbers }}", [3, -5, 0.25]),
        ("{{ user | numbers: of }}", []),
        ({"a": "{{ match.name }}", "b": "{{ match.city | optional }}"}, {"a": "Ann"}),
        ("{{ __class__.__mro__ }}", "(no __class__.__mro__)"),
        ("{{ 1 + 1 }}", "(no 1 + 1)"),
    ],
)
def test_holes_are_filled_from_real_results_and_nothing_is_evaluated(template: Any, filled: Any) -> None:
    result = {"size": 3, "items": [{"n": 1}, {"n": 2.5}]}
    tool = {"name": "list", "arguments": {}, "text": json.dumps(result, separators=(",", ":")), "result": result}
    values = {
        "user": "the mean of 3, -5 and 0.25",
        "match": {"name": "Ann"},
        "tool": {"0": tool, "list": tool, "last": tool},
    }
    assert fill(template, values) == filled


@given(
    st.text(),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)
def test_values_from_outside_are_never_read_as_templates(text: str, result: Any) -> None:
    values = {"user": "{{ system }}" + text, "system": "secret", "tool": {"0": {"result": result}}}
    assert fill("{{ user }}!", values) == "{{ system }}" + text + "!"
    for name in ("json", "count", "first", "lines", "join", "round", "numbers", "truncate", "lower", "default: x"):
        fill("{{ tool.0.result | " + name + " }}", values)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"rule": []}, "rule is not known"),
        ({"rules": [{"name": "r"}]}, "'turns'"),
        ({"rules": [{"name": "r", "turns": [{"txt": "x"}]}]}, "r: turn 0"),
        ({"rules": [{"name": "r", "turns": [{"text": "{{ user | shout }}"}]}]}, "'shout'"),
        ({"rules": [{"name": "r", "when": {"user": {"regex": "("}}, "turns": [{"text": "x"}]}]}, "no pattern"),
        ({"rules": [{"name": "r", "when": {"usr": "x"}, "turns": [{"text": "x"}]}]}, "usr is not known"),
        ({"rules": [{"name": "r", "turns": [{"text": "x"}], "faults": [{"kind": "meteor"}]}]}, "rate_limit"),
        ({"latency": {"fixed": 1}}, "fixed_ms"),
    ],
)
def test_a_wrong_script_is_refused_with_the_place_and_the_reason(document: dict[str, Any], words: str) -> None:
    with pytest.raises(ScriptError, match=words.replace("'", ".")):
        Script(document)


def test_a_file_that_is_no_script_is_refused(tmp_path: Path) -> None:
    for text in ("- a\n- b\n", "a: [", "\x00"):
        (tmp_path / "s.yaml").write_text(text)
        with pytest.raises(ScriptError):
            Script.load(tmp_path / "s.yaml")
    with pytest.raises(ScriptError):
        Script.load(tmp_path / "missing.yaml")


def test_a_fault_befalls_only_what_it_names_and_only_so_often() -> None:
    board = FaultBoard()
    board.add(Fault(kind=FaultKind.HANG, rule="r", turn=1, contains="rome", times=2))
    rome, hit = request(user("In Rome")), Answer(rule="r", turn=1)
    assert board.take(rome, Answer(rule="other", turn=1)) is None
    assert board.take(rome, Answer(rule="r", turn=0)) is None
    assert board.take(request(user("In Oslo")), hit) is None
    assert [board.take(rome, hit) is not None for _ in range(4)] == [True, True, False, False]
    assert board.state()[0]["played"] == 2


def test_every_third_request_fails_when_a_fault_says_so() -> None:
    board = FaultBoard()
    board.add(Fault(kind=FaultKind.SERVER_ERROR, every=3))
    played = [board.take(request(user("x")), Answer()) is not None for _ in range(7)]
    assert played == [False, False, True, False, False, True, False]


def test_a_fault_is_read_from_a_header() -> None:
    assert Fault.of_header("rate_limit; retry_after=2.5; times=3") == Fault(
        kind=FaultKind.RATE_LIMIT, retry_after=2.5, times=3
    )
    for wrong in ("meteor", "hang; size=3", "hang; times"):
        with pytest.raises(ValueError):
            Fault.of_header(wrong)


def test_usage_counts_the_characters_of_the_messages_truly_sent() -> None:
    call = {"id": "c", "function": {"name": "find", "arguments": "{}"}}
    messages = (user("12345678"), {"role": "assistant", "content": None, "tool_calls": [call]}, user("1"))
    assert request(*messages).prompt_tokens == (8 + 4 + 2 + 1 + 3) // 4
    assert Answer(text="12345", calls=(Call("ab", "{}"),)).completion_tokens == 3


def test_no_answer_outgrows_the_output_cap() -> None:
    long = Answer(text="x" * 100, calls=(Call("find", '{"a": 1}'), Call("look", '{"b": 2}')))
    for cap in range(40):
        cut, reason = capped(long, cap)
        assert cut.completion_tokens <= cap
        assert (reason == "length") == (cut != long)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model": "m", "messages": []}', b'{"model": "m", "messages": [3]}']
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        ChatRequest.parse(body)


DEMO = [
    ("How is this machine doing?", [("system_resources", {})], [{"cpu_percent": 12.5}], "- cpu_percent: 12.5"),
    (
        "Which log lines show errors?",
        [("search_logs", {"query": "error", "limit": 50})],
        [{"matches": [{"file": "a.log", "line": "ERROR out of paint"}]}],
        "out of paint",
    ),
    ("Summarise README.md", [("read_file", {"path": "README.md"})], ["# Evolvent\nruns agents"], "runs agents"),
    (
        "What is the average of 3 5 8?",
        [("calculate_metrics", {"values": [3, 5, 8]})],
        [{"mean": 5.33}],
        "For 3, 5, 8:\n- mean: 5.33",
    ),
    ('What is in {"a": [1, 2]}?', [("json_parse", {"text": '{"a": [1, 2]}'})], [{"a": [1, 2]}], "- a: 1, 2"),
    (
        "Write a health report",
        [("system_resources", {}), ("search_logs", {"query": "error", "limit": 20})],
        [{"memory_percent": 71}, {"matches": ["ERROR x"]}],
        "- memory_percent: 71\nLog lines with errors:\n- ERROR x",
    ),
]


@pytest.mark.parametrize(("question", "calls", "results", "words"), DEMO, ids=[each[0] for each in DEMO])
def test_the_demo_calls_tools_and_answers_with_what_they_really_returned(
    question: str, calls: list[tuple[str, Any]], results: list[object], words: str
) -> None:
    script = Script.demo()
    asked = request(user(question))
    assert [(call.name, json.loads(call.arguments)) for call in script.answer(asked).calls] == calls
    final = script.answer(answered(asked, script, *results)).text
    assert final is not None and words in final


def test_the_demo_passes_one_tools_numbers_on_to_the_next() -> None:
    script = Script.demo()
    asked = request(user("What is the average duration in the logs?"))
    searched = answered(asked, script, {"matches": ["GET / duration_ms=12", "GET /x duration_ms=30.5"]})
    call = script.answer(searched).calls[0]
    assert (call.name, json.loads(call.arguments)) == ("calculate_metrics", {"values": [12, 30.5]})


def test_the_demo_says_that_it_is_scripted_where_it_has_no_rule_or_no_tool() -> None:
    for asked in (request(user("Write a sonnet")), request(user("How is this machine doing?"), tools=())):
        text = Script.demo().answer(asked).text
        assert text is not None and "scripted" in text
