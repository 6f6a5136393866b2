"""Signatures gathered over runs: any order, any parts, any number of times; who stands behind them; unlearning."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.learnt_domains import bank, calendar, learnt, operations, restart, run

from evolvent.events.language.learning.signature_records import MAX_EXAMPLES
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.traces import TracedCall
from evolvent.events.language.tools import Effect

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL = [
    replace(trace, started_at=NOON + timedelta(minutes=place))
    for place, trace in enumerate([*operations(), *bank(), *calendar()])
]


def content(store: SignatureStore) -> Any:
    store.take_dirty()
    return store.to_json()


@settings(max_examples=30, deadline=None)
@given(st.permutations(ALL), st.integers(0, len(ALL)), st.integers(0, len(ALL)))
def test_any_order_and_any_merge_of_overlapping_parts_gives_the_same(order: list[Any], cut: int, overlap: int) -> None:
    parts = learnt(order[:cut]), learnt(order[min(cut, overlap) :])
    merged = SignatureStore()
    for part in parts:
        merged.merge(part)
    assert content(merged) == content(learnt(ALL))


def test_learning_twice_from_the_same_run_changes_nothing() -> None:
    store = learnt(ALL)
    before = content(store)
    assert [store.add(trace) for trace in ALL] == [frozenset()] * len(ALL)
    assert store.take_dirty() == []
    assert content(store) == before


def test_a_store_survives_json() -> None:
    store = learnt(ALL)
    assert SignatureStore.from_json(json.loads(json.dumps(store.to_json()))).to_json() == store.to_json()


def test_signatures_are_stored_one_by_one_and_restored_in_any_order() -> None:
    store = learnt(ALL)
    rows = [store.dump(name) for name in store.take_dirty()]
    restored = SignatureStore()
    restored.restore(json.loads(json.dumps(rows[::-1])))
    assert restored.to_json() == store.to_json()
    assert restored.dump("unheard of") is None


def test_examples_of_one_run_stand_side_by_side() -> None:
    def both(number: int) -> Any:
        who = ("find_user", {"email": f"p{number}@example.com"}, {"user": f"u-{number}"}, Effect.READ)
        close = ("close", {"id": f"AC-{number}"}, {"owner": f"u-{number}"}, Effect.KEYED)
        return run(number, f"My email is p{number}@example.com. Close account AC-{number}.", who, close)

    store = learnt([both(number) for number in range(100, 104)])
    close, who = sorted(store.signatures(), key=lambda name: store[name].shape)
    pairs = store.pairs(close, who)
    assert len(pairs) == 4
    assert all(one.example.calls[0].result["owner"] == two.example.calls[0].result["user"] for one, two in pairs)
    assert pairs[0][0].introductions == (who,)


def test_only_changed_signatures_are_dirty_and_only_once() -> None:
    store = learnt(operations())
    first = store.take_dirty()
    changed = store.add(bank()[0])
    assert first
    assert set(store.take_dirty()) == changed
    assert store.take_dirty() == []


def test_failed_replayed_and_audited_runs_teach_nothing() -> None:
    trace = operations()[0]
    store = learnt([replace(trace, succeeded=False), replace(trace, is_live=False)])
    assert len(store) == 0


def test_support_counts_runs_people_and_sessions_in_a_window() -> None:
    traces = [
        replace(restart(number, f"api-{number}", "eu-west"), started_at=NOON + timedelta(hours=number))
        for number in range(1, 7)
    ]
    traces[1] = replace(traces[1], principal=traces[0].principal, session_id=traces[0].session_id)
    store = learnt(traces)
    (name,) = store.signatures()
    everything, late = store.support(name), store.support(name, since=NOON + timedelta(hours=4))
    assert (everything.runs, everything.principals, everything.sessions) == (6, 5, 5)
    assert late.runs == 3


def test_one_person_in_one_session_is_one_whatever_they_repeat() -> None:
    traces = [replace(restart(n, f"api-{n}", "eu-west"), principal="mallory", session_id="s") for n in range(10, 60)]
    store = learnt(traces)
    (name,) = store.signatures()
    support = store.support(name)
    assert (support.runs, support.principals, support.sessions) == (50, 1, 1)


def test_a_disputed_run_is_a_counter_example_whenever_it_is_disputed() -> None:
    good = operations()
    disputed = replace(good[0], outcome=False)
    early, late = learnt([disputed, *good]), learnt([*good, disputed])
    assert content(early) == content(late)
    (name,) = late.signatures()
    assert late.support(name).runs == len(good) - 1
    assert late.support(name).disputed == 1
    assert [each.example.run_id for each in late.clauses(name) if each.example.is_disputed] == [disputed.run_id]


def test_examples_are_bounded_and_the_newest_stay_whatever_the_order() -> None:
    traces = [
        replace(restart(n, f"api-{n}", "eu-west"), started_at=NOON + timedelta(minutes=n)) for n in range(10, 110)
    ]
    forth, back = learnt(traces), learnt(traces[::-1])
    (name,) = forth.signatures()
    assert len(forth.clauses(name)) == MAX_EXAMPLES
    assert forth.clauses(name)[-1].example.run_id == "run-109"
    assert content(forth) == content(back)


def test_an_unlearnt_run_is_gone() -> None:
    traces = operations()
    store = learnt(traces)
    touched = store.forget(traces[0].run_id)
    assert touched
    assert touched <= set(store.take_dirty())
    assert content(store) == content(learnt(traces[1:]))


def test_examples_have_the_same_steps_and_usual_checks_stay() -> None:
    def checked(number: int, checks: bool) -> Any:
        trace = restart(number, f"api-{number}", "eu-west")
        first = replace(trace.calls[0], result={"name": f"api-{number}", "owner": "team-44"})
        extra = TracedCall("get_freeze", {"team": "team-44"}, {"frozen": False}, Effect.READ)
        return replace(trace, calls=(first, extra, trace.calls[1]) if checks else (first, trace.calls[1]))

    rare = learnt([checked(number, number == 11) for number in range(11, 21)])
    usual = learnt([checked(number, number != 11) for number in range(11, 21)])
    steps = [
        {tuple(call.step for call in clause.example.calls) for clause in store.clauses(store.signatures()[0])}
        for store in (rare, usual)
    ]
    assert steps == [{("get_service", "restart")}, {("get_service", "get_freeze", "restart")}]


def test_words_that_led_to_different_writes_do_not_agree() -> None:
    def handled(number: int, tool: str) -> Any:
        return run(number, f"Handle case C-{number}0.", (tool, {"id": f"C-{number}0"}, {}, Effect.KEYED))

    store = learnt([handled(number, "close" if number % 2 else "refund") for number in range(10, 20)])
    names = store.signatures()
    assert [store.agreement(name) for name in names] == [0.5, 0.5]
    assert store.rivals(names[0]) == [names[1]]
