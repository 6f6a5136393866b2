from __future__ import annotations

from support.journals import completed_run, run_id_of, sequences, stream, suspended_run, workflow_run

from evolvent.events.messages.runs import Mode
from evolvent.storage.projections import Gap, project
from evolvent.storage.run_fold import RunProgress


def test_a_run_that_starts_and_ends_in_one_batch_is_one_row() -> None:
    entries = stream(completed_run(0))
    changes = project(entries, {})
    (run,) = changes.new_runs
    assert (run["status"], run["answer"], run["cost_microusd"], run["tool_calls"]) == ("completed", "42", 14, 1)
    assert (run["first_seq"], run["last_seq"], run["message"]) == (1, 3, "question 0")
    assert [row["seq"] for row in changes.events] == sequences(entries)
    assert changes.finished == [{"run_id": run_id_of(0)}]
    assert [(row["agent_id"], row["runs"], row["successes"], row["turns"]) for row in changes.agent_totals] == [
        ("assistant_00000001", 1, 1, 2)
    ]


def test_an_event_that_is_recorded_already_changes_nothing() -> None:
    changes = project(stream(completed_run(0)), {run_id_of(0): RunProgress(status="completed", last_seq=3)})
    assert changes.applied == 0
    assert not (changes.new_runs or changes.changed_runs or changes.daily_totals or changes.gaps)


def test_a_gap_stops_its_run_and_no_other() -> None:
    entries = stream(completed_run(0), workflow_run(1))
    without_second_of_first = [entry for entry in entries if entry.seq != 3]
    changes = project(without_second_of_first, {})
    assert changes.gaps == [Gap(run_id_of(0), last_seq=1, found_seq=5)]
    assert {row["run_id"]: row["status"] for row in changes.new_runs} == {
        run_id_of(0): "running",
        run_id_of(1): "failed",
    }


def test_a_gap_that_cannot_be_mended_is_passed_over_when_told() -> None:
    entries = [entry for entry in stream(completed_run(0)) if entry.seq != 2]
    changes = project(entries, {}, forgive=frozenset({run_id_of(0)}))
    assert changes.gaps == []
    assert changes.new_runs[0]["status"] == "completed"


def test_an_event_with_an_empty_journal_before_it_follows_whatever_is_recorded() -> None:
    recorded = RunProgress(status="suspended", first_seq=3, last_seq=7, state="{}", started_at=None)
    resumed = suspended_run(0)[3].model_copy(update={"state": {"at": "pay"}, "prev_seq": 0})
    entry = stream([resumed])[0]
    changes = project([type(entry)(90, entry.event, entry.body)], {run_id_of(0): recorded})
    (run,) = changes.changed_runs
    assert (run["status"], run["first_seq"], run["last_seq"], run["state"]) == ("running", 90, 90, None)


def test_a_suspended_run_keeps_its_state_and_no_event_after_the_end_changes_it() -> None:
    (waiting,) = project(stream(suspended_run(0, ends=False)), {}).new_runs
    assert (waiting["status"], waiting["suspended_reason"], waiting["state"]) == (
        "suspended",
        "approval",
        '{"at":"pay"}',
    )
    (ended,) = project(stream(suspended_run(0)), {}).new_runs
    assert (ended["status"], ended["state"], ended["wake_at"], ended["last_seq"]) == ("cancelled", None, None, 7)


def test_a_run_for_trial_costs_money_but_is_not_counted_as_served() -> None:
    journal = completed_run(0)
    journal[0] = journal[0].model_copy(update={"mode": Mode.SHADOW})
    changes = project(stream(journal), {})
    (day,) = changes.daily_totals
    assert (day["runs"], day["completed"], day["cost_microusd"]) == (0, 0, 14)
    assert [row["runs"] for row in changes.agent_totals] == [0]
