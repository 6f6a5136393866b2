"""The learning bed's own worlds: their requests, judges, drifts and what must not be served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.learning_bed import beds
from support.learning_bed.database import Base, Database, Desk
from support.learning_bed.negatives import BY_RECORDS, EDITS
from support.learning_bed.requests import carry_out
from support.learning_bed.world import Ask

from evolvent.events.language.tools import Effect


@pytest.mark.parametrize("name", beds.OWN)
def test_three_thousand_distinct_requests_come_out_right_by_the_careful_agent(name: str) -> None:
    bed = beds.bed(name, seed=3, count=3000)
    assert len({request.text for request in bed.requests}) == 3000
    assert all(request.expected or request.answer for request in bed.requests)
    assert all(run.is_right for run in bed.with_requests(bed.requests[::5]).run_offline())


@pytest.mark.parametrize("name", beds.OWN)
def test_a_seed_gives_the_same_requests_and_another_seed_others(name: str) -> None:
    first, again, other = (beds.bed(name, seed=seed, count=100).requests for seed in (1, 1, 2))
    assert [request.text for request in first] == [request.text for request in again]
    assert [request.expected for request in first] == [request.expected for request in again]
    assert len({r.text for r in first} & {r.text for r in other}) < 20


@pytest.mark.parametrize("name", beds.OWN)
def test_three_thousand_negatives_change_nothing_by_the_agent_and_would_be_refused_by_the_policy(name: str) -> None:
    bed = beds.bed(name, seed=3, count=500)
    negatives = beds.negatives_of(bed, seed=1, count=3000)
    texts = {request.text for request in negatives.requests}
    assert len(texts) == 3000
    assert not texts & {request.text for request in bed.requests}
    kinds = {request.kind for request in negatives.requests}
    assert kinds >= set(EDITS) - {"unknown_item"}
    for run in negatives.with_requests(negatives.requests[::3]).run_offline():
        assert run.is_right and not run.changes
    alone = [r for r in negatives.requests if r.kind in BY_RECORDS and len(r.plan.clauses) == 1]
    assert alone
    assert not any(carry_out(bed.world, bed.agent.policy(request)).changes for request in alone)


@pytest.mark.parametrize("name", beds.OWN)
def test_every_intent_is_asked_for_in_every_phrasing(name: str) -> None:
    bed = beds.bed(name, count=500)
    assert bed.grammar is not None
    asked = {intent for request in bed.requests for intent in request.intents}
    assert asked == {intent.name for intent in bed.grammar.intents}
    for intent in bed.grammar.intents:
        for phrasing in intent.phrasings:
            words = max(phrasing.replace("}", "{").split("{")[::2], key=len)
            assert any(words in request.text for request in bed.requests), phrasing


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in beds.OWN for kind in beds.drifts(name)])
def test_after_a_drift_something_else_is_right_and_the_agent_does_it(name: str, kind: str) -> None:
    bed = beds.drifted(beds.bed(name, count=200), at=100, kind=kind)
    before = beds.bed(name, count=200)
    changed = [number for number in range(200) if bed.requests[number].expected != before.requests[number].expected]
    assert len(changed) >= 5 and min(changed) >= 100
    assert all(run.is_right for run in bed.run_offline())
    with pytest.raises(ValueError, match="knows no drift"):
        beds.drifted(bed, at=0, kind="meteor")


@pytest.mark.parametrize("name", beds.OWN)
def test_a_changed_tool_has_another_schema_and_does_the_same(name: str) -> None:
    bed = beds.with_changed_tools(beds.bed(name, count=200), at=100)
    runs = list(bed.run_offline())
    assert all(run.is_right for run in runs)
    hashes: tuple[set[tuple[str, str]], set[tuple[str, str]]] = (set(), set())
    for number, run in enumerate(runs):
        hashes[number >= 100].update((call.name, call.schema_hash) for call in run.trace.calls)
    assert len({name for name, _ in hashes[0] ^ hashes[1]}) == 1


@pytest.mark.parametrize("name", beds.OWN)
def test_tools_declare_their_effects_and_reads_change_nothing(name: str) -> None:
    bed = beds.bed(name, count=200)
    effects = {tool.spec.effect for tool in bed.world.tools.values()}
    assert effects >= {Effect.READ, Effect.KEYED, Effect.IDEMPOTENT, Effect.IRREVERSIBLE}
    asks = {ask.name: ask for r in bed.requests for ask, _ in carry_out(bed.world, bed.agent.policy(r)).calls}
    reads = [ask for ask in asks.values() if not bed.world.is_write(ask)]
    desk = bed.world.desk()
    assert reads
    for step, ask in enumerate(reads):
        assert bed.world.call(desk, "reads", ask, step=step).error is None
    assert desk.changes(bed.world.name, "reads") == {}


def test_wordings_differ_from_domain_to_domain() -> None:
    words = {
        name: {word.strip(".,;:?!'") for r in beds.bed(name, count=300).requests for word in r.text.split()}
        for name in beds.OWN
    }
    assert "Restart" in words["ops"] - words["bank"] - words["calendar"]
    assert "Transfer" in words["bank"] - words["ops"] - words["calendar"]
    assert "Invite" in words["calendar"] - words["ops"] - words["bank"]


def test_a_repeated_key_writes_once_and_returns_the_same(tmp_path: Path) -> None:
    bed = beds.bed("bank", count=50)
    request = next(r for r in bed.requests if r.intents == ("transfer",))
    calls = carry_out(bed.world, bed.agent.policy(request)).calls
    write = next(ask for ask, _ in calls if bed.world.is_write(ask))
    desk = bed.world.desk()
    first = bed.world.call(desk, "r", write, step=0)
    assert first.error is None
    assert bed.world.call(desk, "r", write, step=0) == first
    assert bed.judge(request, desk.changes("bank", "r")).is_right
    assert bed.world.call(desk, "r", write, step=1).error == "tool.failed"


def test_runs_do_not_see_each_other_and_the_base_stays() -> None:
    base = Base({"things": {"a": {"n": 1}}})
    before = json.dumps(base.tables)
    one, two = Database(base), Database(base)
    one.edit("things", "a")["n"] = 2
    one.put("things", "b", {"n": 2})
    assert (two.find("things", "a"), two.find("things", "b")) == ({"n": 1}, None)
    assert [record["n"] for record in one.where("things", n=2)] == [2, 2]
    assert one.changes() == {"things": {"a": {"n": 2}, "b": {"n": 2}}}
    one.edit("things", "a")["n"] = 1
    assert one.changes() == {"things": {"b": {"n": 2}}}
    assert json.dumps(base.tables) == before


def test_what_a_run_changed_and_which_drift_is_on_outlive_the_process(tmp_path: Path) -> None:
    bed = beds.bed("ops", count=40)
    request = next(r for r in bed.requests if r.intents == ("restart",))
    first = Desk({"ops": bed.world.base}, folder=tmp_path)
    for step, (ask, _) in enumerate(carry_out(bed.world, bed.agent.policy(request)).calls):
        bed.world.call(first, "r", ask, step=step)
    assert bed.changes(tmp_path, "r") == request.expected
    assert Desk({"ops": bed.world.base}, folder=tmp_path).changes("ops", "r") == request.expected
    first.drift("ops", "tiers_renamed")
    services = Desk(folder=tmp_path).database("ops", "later").base.tables["services"].values()
    assert {service["tier"] for service in services} == {"basic", "critical"}


def test_bad_arguments_and_unknown_tools_are_errors_as_in_the_platform() -> None:
    world = beds.bed("ops", count=1).world
    desk = world.desk()
    assert world.call(desk, "r", Ask("scale_service", {"replicas": "many"}), step=0).error == "tool.bad_arguments"
    assert world.call(desk, "r", Ask("fly"), step=1).error == "tool.unknown"
    assert world.call(desk, "r", Ask("whois", {"handle": "nobody"}), step=2).error == "tool.failed"
