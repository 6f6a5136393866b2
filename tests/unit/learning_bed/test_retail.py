"""The retail world against public data; skipped where that is absent."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest
from support.learning_bed import beds
from support.learning_bed.agent import Knobs
from support.learning_bed.requests import carry_out
from support.learning_bed.retail import workload, world
from support.learning_bed.retail.grammar import plan_of
from support.learning_bed.world import Ask

pytestmark = pytest.mark.skipif(not world.is_there(), reason="the public retail data is not here; set EVOLVENT_DATA")


def test_the_sixteen_tools_take_what_their_schemas_say() -> None:
    published = json.loads((world.data_folder() / "tools_schema.json").read_text())
    ours = workload.the_world().tools
    assert len(published) == len(ours) == 16
    for tool in published:
        function = tool["function"]
        parameters = ours[function["name"]].spec.parameters
        assert set(parameters["properties"]) == set(function["parameters"]["properties"])
        assert set(parameters.get("required", ())) == set(function["parameters"]["required"])
        for name, member in function["parameters"]["properties"].items():
            assert parameters["properties"][name]["type"] == member["type"]
            assert parameters["properties"][name].get("enum") == member.get("enum")


def test_recorded_calls_give_the_recorded_results_and_the_published_end_for_all_requests() -> None:
    bed = beds.public_retail()
    assert len(bed.requests) == 250
    recordings = workload.recordings()
    for request in bed.requests:
        carried = carry_out(bed.world, bed.agent.policy(request))
        assert carried.changes == request.expected
        assert not carried.closing.flag
        for (ask, seen), (recorded, result) in zip(carried.calls, recordings[request.request_id], strict=True):
            assert ask == recorded
            said = f"Error: {seen.message.removeprefix('Refused: ')}" if seen.error else seen.result
            assert said == result


def test_the_gold_calls_alone_give_the_published_end() -> None:
    the_world = workload.the_world()
    with gzip.open(world.data_folder() / "requests.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        desk = the_world.desk()
        for step, call in enumerate(row["gold_actions"]):
            the_world.call(desk, "gold", Ask(call["name"], call["arguments"]), step=step)
        assert desk.changes("retail", "gold") == {
            t: records for t, records in row["gold_state_diff"].items() if records
        }


def test_the_written_policy_makes_the_recorded_calls_of_every_request() -> None:
    bed = beds.public_retail(is_recorded=False)
    recorded = workload.recorded_calls()
    for request in bed.requests:
        carried = carry_out(bed.world, bed.agent.policy(request))
        assert tuple(ask for ask, _ in carried.calls) == recorded[request.request_id]
        assert carried.changes == request.expected


def test_three_thousand_requests_over_other_records_are_distinct_right_and_of_the_same_grammar() -> None:
    bed = beds.bed("retail", seed=7, count=3000)
    texts = {request.text for request in bed.requests}
    assert len(texts) == 3000
    assert not texts & {request.text for request in workload.public_requests()}
    for request in bed.requests:
        assert request.user_id is not None
        read = plan_of(request.text, request.user_id)
        assert read.text == request.text
        assert tuple(clause.intent.name for clause in read.clauses) == request.intents
    assert all(run.is_right for run in beds.shuffled(bed, seed=1).with_requests(bed.requests[:200]).run_offline())


def test_three_thousand_negatives_of_seven_kinds_change_nothing() -> None:
    negatives = beds.negatives_of(beds.public_retail(is_recorded=False), seed=1, count=3000)
    kinds = Counter(request.kind for request in negatives.requests)
    assert len(kinds) == 7 and min(kinds.values()) >= 100
    assert all(run.is_right and not run.changes for run in negatives.run_offline())


def test_slips_are_as_frequent_as_said_and_recordings_rebind_to_live_values() -> None:
    bed = beds.public_retail(knobs=Knobs(seed=1, slip_rate=0.2, redundant_rate=0.3))
    wrong = sum(not run.is_right for run in bed.run_offline())
    assert 0.08 < wrong / 250 < 0.22
    moved = beds.drifted(beds.public_retail(), at=0, kind="new_item_ids")
    returns = [run for run in moved.run_offline() if run.request.intents == ("return",)]
    assert len(returns) == 50
    assert all(run.is_right and not run.closing.flag and run.changes for run in returns)


@pytest.mark.parametrize("kind", world.DRIFTS)
def test_after_a_drift_the_written_policy_still_does_right(kind: str) -> None:
    bed = beds.drifted(beds.public_retail(is_recorded=False), at=100, kind=kind)
    before = workload.public_requests()
    assert sum(a.expected != b.expected for a, b in zip(bed.requests, before, strict=True)) > 20
    assert all(run.is_right for run in bed.run_offline())


def test_a_recording_that_no_longer_fits_is_flagged_and_writes_nothing_more() -> None:
    bed = beds.drifted(beds.public_retail(), at=0, kind="renamed_status")
    cancels = [run for run in bed.run_offline() if run.request.intents == ("cancel",)]
    assert cancels and all(run.closing.flag and not run.changes for run in cancels)


def test_cancelling_has_another_schema_after_a_change() -> None:
    bed = beds.with_changed_tools(beds.public_retail(), at=0)
    assert all(run.is_right for run in bed.run_offline())
    old, new = (each.tools["cancel_pending_order"].spec.schema_hash for each in (bed.world, bed.world_at(0)))
    assert old != new
