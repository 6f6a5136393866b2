"""The recorded airline runs as traces; skipped where the data is absent."""

from __future__ import annotations

from collections import Counter

import pytest
from support.learning_bed import airline

from evolvent.events.language.tools import Effect

pytestmark = pytest.mark.skipif(not airline.is_there(), reason="the airline runs are not here; set EVOLVENT_DATA")


def test_all_runs_are_read_with_their_outcomes_hidden() -> None:
    runs = airline.airline_runs()
    assert Counter(Counter(run.task_id for run in runs).values()) == {4: 50}
    assert sum(run.is_right for run in runs) == 84
    assert {run.trace.outcome for run in runs} == {None}
    assert len({run.trace.run_id for run in runs}) == 200
    told = airline.airline_runs(with_outcomes=True)
    assert [run.trace.outcome for run in told] == [run.is_right for run in told]


def test_their_calls_prompts_and_errors_are_as_measured_before() -> None:
    runs = airline.airline_runs()
    calls = [call for run in runs for call in run.trace.calls]
    assert len(calls) == 1164
    assert {call.effect for call in calls} == {Effect.PURE, Effect.READ, Effect.KEYED, Effect.IRREVERSIBLE}
    assert any(call.error for call in calls) and all(call.result is None for call in calls if call.error)
    assert 11 < sum(run.trace.model_calls for run in runs) / 200 < 14
    assert 25_000 < sum(run.trace.prompt_tokens for run in runs) / 200 < 40_000
