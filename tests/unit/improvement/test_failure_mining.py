from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.errors import Category, ErrorInfo
from evolvent.improvement.failure_mining import Failure, category_of, failures_of, merged, normalised, trend_of
from evolvent.improvement.insight_settings import InsightSettings
from evolvent.improvement.remedies import ADVICE, REMEDIES, remedy_for
from evolvent.storage.insight_rows import EndedRun, EndedRuns, FailurePattern, PartOfRun

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def failure(at: datetime = NOON, **changes: object) -> Failure:
    return replace(
        Failure("run", "default", at, "timeout", "tool.timeout", "tool", "look", "took <n> s", ended_run=True),
        **changes,  # type: ignore[arg-type]
    )


def ended(error: ErrorInfo | None, **changes: object) -> EndedRun:
    said = None if error is None else error.model_dump_json()
    run = EndedRun(1, "run", "g", "failed", "live", "agent", "agent_1", None, said, 5, 10, 1.0, NOON, NOON)
    return replace(run, **changes)  # type: ignore[arg-type]


def part(name: str, code: str | None, times: int = 1) -> PartOfRun:
    return PartOfRun("run", name, "agent_1", code, times, NOON, NOON)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("run 12 took 3.5 s", "run 7 took 12,25 s"),
        ("no file /data/a/b.txt", "no file /var/lib/x/y/z.json"),
        ("agent 'alice' is busy", 'agent "bob" is busy'),
        ("id 3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10 gone", "id 00000000-0000-0000-0000-000000000001  gone"),
        ("since 2026-01-02T03:04:05Z", "since 2025-12-31 23:59:59.123+01:00"),
        ("GET https://a.example/x?y=1 failed", "GET http://b.example/ failed"),
    ],
)
def test_messages_that_differ_in_values_only_are_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_messages_that_differ_in_words_stay_apart() -> None:
    assert normalised("the disk is full") != normalised("the disk is gone")


@given(st.text(max_size=2000))
def test_any_message_can_be_normalised_and_stays_short(text: str) -> None:
    assert len(normalised(text)) <= 200


def test_a_failed_run_counts_under_the_part_whose_code_it_ended_with_and_not_twice() -> None:
    error = ErrorInfo(code="model.timeout", category=Category.TIMEOUT, message="no answer after 30 s")
    found = failures_of(EndedRuns((ended(error),), (part("m1", "model.timeout", 3), part("m1", None)), ()))
    assert [(f.kind, f.subject, f.times, f.ended_run, f.message) for f in found] == [
        ("model", "m1", 1, True, "no answer after <n> s"),
        ("model", "m1", 2, False, ""),
    ]


def test_a_failed_run_without_such_a_part_counts_under_its_agent_or_else_its_workflow() -> None:
    error = ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="none left")
    runs = (ended(error), ended(error, agent_id=None, workflow="triage"))
    assert [(f.kind, f.subject) for f in failures_of(EndedRuns(runs, (), ()))] == [
        ("agent", "agent_1"),
        ("workflow", "triage"),
    ]


def test_a_call_that_failed_in_a_run_that_went_on_counts_without_failing_the_run() -> None:
    run = ended(None, status="completed")
    found = failures_of(EndedRuns((run,), (), (part("look", "tool.timeout", 2),)))
    assert [(f.kind, f.category, f.times, f.ended_run) for f in found] == [("tool", "timeout", 2, False)]


def test_replays_and_shadows_count_nowhere() -> None:
    error = ErrorInfo(code="x", category=Category.SYSTEM, message="")
    assert failures_of(EndedRuns((ended(error, mode="replay"),), (), ())) == []


def test_an_error_that_cannot_be_read_is_still_a_failure() -> None:
    assert [f.code for f in failures_of(EndedRuns((replace(ended(None), error="{"),), (), ()))] == ["internal"]


def test_counting_in_two_parts_comes_to_the_same_as_at_once() -> None:
    failures = [failure(NOON + timedelta(minutes=20 * n), run_id=f"r{n}", goal=f"g{n % 3}") for n in range(40)]
    at_once = merged({}, failures)
    first = {pattern.pattern_id: pattern for pattern in merged({}, failures[:17])}
    assert merged(first, failures[17:]) == at_once
    (pattern,) = at_once
    assert (pattern.failures, pattern.failed_runs, pattern.runs[0], len(pattern.runs)) == (40, 40, "r39", 10)
    assert pattern.goals == {"g0": 14, "g1": 13, "g2": 13}
    assert (pattern.first_seen, pattern.last_seen) == (failures[0].at, failures[-1].at)


@pytest.mark.parametrize(
    ("earlier", "latest", "trend"),
    [(0, 4, "new"), (2, 8, "rising"), (4, 4, "steady"), (1, 2, "steady"), (9, 2, "falling"), (5, 0, "quiet")],
)
def test_the_trend_compares_the_last_day_with_the_one_before(earlier: int, latest: int, trend: str) -> None:
    failures = [failure(NOON - timedelta(hours=30)) for _ in range(earlier)]
    failures += [failure(NOON - timedelta(hours=3)) for _ in range(latest)]
    (pattern,) = merged({}, failures)
    assert trend_of(pattern, NOON) == trend


def test_hours_that_no_trend_needs_are_not_kept() -> None:
    pattern: FailurePattern = merged({}, [failure(NOON + timedelta(hours=5 * n)) for n in range(400)])[0]
    assert len(pattern.hours) <= 8 * 24


def test_every_category_has_a_remedy_and_every_remedy_its_advice() -> None:
    assert set(Category) <= set(REMEDIES)
    assert set(REMEDIES.values()) | {"none"} == set(ADVICE)


def test_settings_come_before_the_table_and_a_code_before_a_category() -> None:
    settings = InsightSettings.model_validate({"remedies": {"timeout": "retry", "tool.failed": "ask_person"}})
    assert remedy_for("tool", "tool.failed", settings.remedies) == "ask_person"
    assert remedy_for("timeout", "call.timeout", settings.remedies) == "retry"
    assert remedy_for("timeout", "tool.timeout", settings.remedies) == "raise_timeout"
    assert remedy_for("else", "what", {}) == "ask_person"


def test_codes_alone_tell_their_category() -> None:
    codes = {"tool.timeout": "timeout", "model.unavailable": "network", "tool.failed": "tool", "odd": "system"}
    assert {code: category_of(code).value for code in codes} == codes
