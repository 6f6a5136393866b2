"""Unlearning: what stands on the runs goes, for ever, and the rest is as if they had never been."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.databases import database_url, databases, postgres_server  # noqa: F401
from support.learning_journals import School, run_id
from support.learnt_domains import operations, run

from evolvent.events.errors import InvalidMessage, NotFound
from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.tools import Effect
from evolvent.events.messages.version_calls import Unlearnt
from evolvent.improvement.unlearning import Unlearner
from evolvent.storage.automations import UNLEARNT
from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, StoredOutcome

NAMES = ["api-7", "billing-12", "auth-3", "cart-9", "mail-2", "search-4", "queue-8", "store-1"]


@pytest.fixture
def school(databases: Databases) -> School:  # noqa: F811
    return School(databases)


def look_ups(count: int, *, by: str = "anna", word: str = "state", first: int = 0) -> list[Trace]:
    return [
        replace(
            run(
                f"{word}-{by}-{number}",
                f"What is the {word} of {NAMES[number % len(NAMES)]}?",
                (f"get_{word}", {"name": NAMES[number % len(NAMES)]}, {word: f"ok {number}"}, Effect.READ),
                answer=f"It is ok {number}.",
            ),
            principal=by,
            user_id=by,
        )
        for number in range(first, first + count)
    ]


async def unlearn(school: School, what: str) -> Unlearnt:
    both = school.databases.records, school.databases.definitions
    return await Unlearner(both, school.learner(), clock=school.clock, emit=school.tell).unlearn(what)


async def learn(school: School) -> None:
    await school.learner().learn_all(school.clock.now())


async def live(school: School) -> set[str]:
    return {each.content_hash for each in await school.automations.live()}


async def live_where_only(runs: Sequence[Trace], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    other = await Databases.open(tmp_path_factory.mktemp("other"), durability="process")
    try:
        elsewhere = School(other)
        await elsewhere.record(runs)
        await learn(elsewhere)
        return await live(elsewhere)
    finally:
        await other.close()


async def test_a_run_that_is_unlearnt_leaves_what_the_others_teach(
    school: School, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs = look_ups(5)
    await school.record(runs)
    await learn(school)
    (before,) = await school.automations.live()
    assert run_id(runs[0]) in before.run_ids
    said = await unlearn(school, run_id(runs[0]))
    label = f"{before.automation_id}@1"
    assert (said.runs, said.rolled_back, said.learnt_again) == (1, (label,), (f"{before.automation_id}@2",))
    (after,) = await school.automations.live()
    assert run_id(runs[0]) not in after.run_ids
    first, _ = await school.automations.versions(before.automation_id)
    assert (first.status, first.decided_by) == ("rolled_back", UNLEARNT)
    assert await live(school) == await live_where_only(runs[1:], tmp_path_factory)


async def test_what_only_one_user_taught_goes_with_that_user(
    school: School, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept, gone = [*look_ups(4, by="anna"), *operations()], look_ups(4, by="mallory", word="owner")
    await school.record([*kept, *gone])
    await learn(school)
    assert len(await live(school)) == 2
    said = await unlearn(school, "user:mallory")
    assert (said.runs, len(said.rolled_back), said.learnt_again) == (4, 1, ())
    assert await live(school) == await live_where_only(kept, tmp_path_factory)
    with pytest.raises(NotFound):
        await unlearn(school, "user:nobody")
    with pytest.raises(InvalidMessage, match="no kind of source"):
        await unlearn(school, "planet:mars")


async def test_a_tool_as_a_source_takes_all_its_runs_along(
    school: School, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept, gone = look_ups(4), look_ups(4, word="owner")
    await school.record([*kept, *gone])
    await learn(school)
    assert len((await unlearn(school, "tool:get_owner")).rolled_back) == 1
    assert await live(school) == await live_where_only(kept, tmp_path_factory)


async def test_what_was_unlearnt_is_never_learnt_again(school: School) -> None:
    runs = look_ups(4)
    await school.record(runs)
    await unlearn(school, "principal:anna")  # before anybody learnt from it
    await learn(school)
    assert await school.automations.list() == []
    said = StoredOutcome(run_id(runs[0]), "anna", False, "wrong", school.clock.now())
    await ImprovementStore(school.databases.records).put_outcome(said)
    await learn(school)
    _, signatures = await school.stored()
    assert signatures == []
    assert await school.rows.disputes(10) == []


async def test_unlearning_twice_is_unlearning_once(school: School) -> None:
    runs = look_ups(5)
    await school.record(runs)
    await learn(school)
    await unlearn(school, run_id(runs[0]))
    before = await school.stored()
    again = await unlearn(school, run_id(runs[0]))
    assert (again.signatures, again.rolled_back, again.learnt_again) == (0, (), ())
    assert await school.stored() == before


async def test_runs_that_had_made_room_come_back(school: School, tmp_path_factory: pytest.TempPathFactory) -> None:
    kept, gone = look_ups(40, by="anna"), look_ups(64, by="mallory", first=40)
    await school.record(kept)
    await school.record(gone)
    await learn(school)
    await unlearn(school, "principal:mallory")
    assert await live(school) == await live_where_only(kept, tmp_path_factory)
    (automation,) = await school.automations.live()
    assert set(automation.run_ids) <= {run_id(each) for each in kept}


async def test_what_a_person_took_out_of_service_stays_out(school: School) -> None:
    runs = look_ups(5)
    await school.record(runs)
    await learn(school)
    (before,) = await school.automations.live()
    await school.automations.set_status(before.automation_id, 1, "disabled", by="operator")
    await unlearn(school, run_id(runs[0]))
    assert await school.automations.live() == []
