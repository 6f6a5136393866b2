from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.learnt_domains import bank, operations

from evolvent.events.language.learning.learner import LearningRules, Proposal, propose_all
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.traces import Trace
from evolvent.improvement.forgetting import Left

TRACES = [*operations(), *bank()]


def learnt_from(traces: list[Trace]) -> SignatureStore:
    store = SignatureStore()
    for trace in traces:
        store.add(trace)
    return store


def automations(store: SignatureStore) -> set[str]:
    rules = replace(LearningRules(), min_principals_writes=1)
    found = propose_all(store, store.signatures(), rules, now=datetime(1970, 1, 1, 1, tzinfo=UTC))
    return {each.automation.content_hash for each in found.values() if isinstance(each, Proposal)}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sets(st.integers(0, len(TRACES) - 1), min_size=1, max_size=len(TRACES) // 2))
def test_forgetting_runs_leaves_the_automations_of_the_others(forgotten: set[int]) -> None:
    whole = learnt_from(TRACES)
    left = Left()
    run_ids = frozenset(TRACES[number].run_id for number in forgotten)
    left.take(whole.to_json()["signatures"], run_ids)
    store = SignatureStore()
    store.restore(dump for dump in whole.to_json()["signatures"] if dump["signature"] not in left.touched)
    store.merge(left.store)
    rest = learnt_from([each for number, each in enumerate(TRACES) if number not in forgotten])
    assert store.to_json()["signatures"] == rest.to_json()["signatures"]
    assert automations(store) == automations(rest)


def test_a_signature_of_which_nothing_is_left_is_gone() -> None:
    whole = learnt_from(TRACES)
    left = Left()
    left.take(whole.to_json()["signatures"], frozenset(each.run_id for each in TRACES))
    assert left.gone == left.touched
    assert len(left.store) == 0


@pytest.mark.parametrize("count", [70])
def test_a_signature_that_was_full_takes_older_runs_back(count: int) -> None:
    one = TRACES[0]
    many = [replace(one, run_id=f"r{number:03}") for number in range(count)]
    left = Left()
    left.take(learnt_from(many).to_json()["signatures"], frozenset(each.run_id for each in many[-10:]))
    assert left.full == left.touched
    left.add_back(learnt_from(many[:-10]))
    assert left.store.to_json()["signatures"] == learnt_from(many[:-10]).to_json()["signatures"]
