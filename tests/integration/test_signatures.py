"""Rows of signatures, and the commit that moves the learner on, on every database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from support.databases import NOON, database_url, databases, postgres_server  # noqa: F401

from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, StoredOutcome
from evolvent.storage.signatures import AutomationTotals, Lesson, Serving, SignatureRecord, SignatureRows

CANCEL = SignatureRecord(
    "aaa1", "default", "shop", "w1", "k1", "cancel {a}", "cancel!", False, 3, 2, 2, 0, NOON, {"signature": "aaa1"}
)


@pytest.fixture
def rows(databases: Databases) -> SignatureRows:  # noqa: F811
    return SignatureRows(databases.records)


async def test_only_one_commit_builds_on_another(rows: SignatureRows) -> None:
    lesson = Lesson(0, 7, signatures=[CANCEL], servings=[Serving("r1", "auto-1", 1, tokens_saved=9)])
    kept = await asyncio.gather(*(rows.keep(lesson) for _ in range(4)))
    assert sorted(kept) == [False, False, False, True]
    assert await rows.stand() == (1, 7)
    assert (await rows.get(["aaa1"]))["aaa1"].changes == 1
    assert await rows.documents(["aaa1", "b"]) == [{"signature": "aaa1"}]
    assert await rows.totals(["auto-1"]) == {("auto-1", 1): AutomationTotals(served=1, tokens_saved=9)}


async def test_what_changed_is_due_until_it_was_looked_at(rows: SignatureRows) -> None:
    talk = replace(CANCEL, signature="ccc", words="w3", is_filler=True)
    few = replace(CANCEL, signature="ddd", words="w4", support=1)
    await rows.keep(Lesson(0, 1, signatures=[CANCEL, talk, few]))
    (due,) = await rows.due(min_support=3, looked_with="rules")
    assert (due.signature, due.verdict, due.last_at) == ("aaa1", "", NOON)
    seen = replace(due, looked=due.changes, looked_with="rules", verdict="no", tried_support=3, tried_with="t")
    await rows.looked_at([seen])
    assert await rows.due(min_support=3, looked_with="rules") == []
    assert len(await rows.due(min_support=3, looked_with="other rules")) == 1
    await rows.keep(Lesson(1, 2, signatures=[replace(CANCEL, support=4)]))
    (again,) = await rows.due(min_support=3, looked_with="rules")
    assert (again.support, again.verdict, again.tried_support) == (4, "no", 3)
    assert [each.signature for each in await rows.changed_small_talk(min_support=3)] == ["ccc"]
    assert await rows.of_scope(("default", "shop"), is_filler=False) == ["aaa1", "ddd"]
    assert [each.signature for each in await rows.listed(min_support=2)] == ["aaa1"]
    assert [each.signature for each in await rows.beginning("dd")] == ["ddd"]


async def test_a_rival_makes_what_was_learnt_due_again(rows: SignatureRows) -> None:
    await rows.keep(Lesson(0, 1, signatures=[CANCEL]))
    (due,) = await rows.due(min_support=3, looked_with="rules")
    await rows.looked_at([replace(due, looked=due.changes, looked_with="rules", automation="auto-1@1")])
    assert await rows.due(min_support=3, looked_with="rules") == []
    rival = replace(CANCEL, signature="bbb", support=1, shape="")
    await rows.keep(Lesson(1, 2, signatures=[rival]))
    assert [each.signature for each in await rows.due(min_support=3, looked_with="rules")] == ["aaa1"]
    assert await rows.same_words(["w1"]) == await rows.same_work(["k1"]) == ["aaa1", "bbb"]


async def test_a_dispute_waits_until_it_is_taken_up_and_a_wrong_run_counts_once(
    rows: SignatureRows,
    databases: Databases,  # noqa: F811
) -> None:
    store = ImprovementStore(databases.records)
    await store.put_outcome(StoredOutcome("r1", "shop", ok=False, note=None, created_at=NOON))
    assert await rows.disputes(10) == ["r1"]
    wrong = Serving("r1", "auto-1", 2, is_wrong=True)
    assert await rows.keep(Lesson(0, 1, disputes=["r1"], wrong=[wrong]))
    assert await rows.disputes(10) == []
    await store.put_outcome(StoredOutcome("r1", "bob", ok=False, note=None, created_at=NOON + timedelta(1)))
    assert await rows.keep(Lesson(1, 1, disputes=await rows.disputes(10), wrong=[wrong]))
    assert await rows.keep(Lesson(2, 2, servings=[Serving("r2", "auto-1", 2, is_deoptimized=True)]))
    assert await rows.totals(["auto-1"]) == {("auto-1", 2): AutomationTotals(wrong=1, deoptimized=1)}
