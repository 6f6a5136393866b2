"""The time syntax of log searches."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.orchestrator.logs.source import DiagnosticContext
from evolvent.orchestrator.logs.time_range import moment, time_range
from evolvent.orchestrator.tools.refusals import QueryInvalid

NOW = datetime(2026, 3, 31, 14, 25, 36, 789, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "2026-03-31T14:25:36.000789"),
        ("-2h", "2026-03-31T12:25:36.000789"),
        ("-15m", "2026-03-31T14:10:36.000789"),
        ("-7d@d", "2026-03-24T00:00:00"),
        ("@h", "2026-03-31T14:00:00"),
        ("now@d", "2026-03-31T00:00:00"),
        ("-d@d", "2026-03-30T00:00:00"),
        ("-1d+6h", "2026-03-30T20:25:36.000789"),
        ("-1mon", "2026-02-28T14:25:36.000789"),
        ("-1mon@mon", "2026-02-01T00:00:00"),
        ("-1q@q", "2025-10-01T00:00:00"),
        ("@w", "2026-03-29T00:00:00"),
        ("@w0", "2026-03-29T00:00:00"),
        ("@w1", "2026-03-30T00:00:00"),
        ("@w3", "2026-03-25T00:00:00"),
        ("@y", "2026-01-01T00:00:00"),
        ("+90s", "2026-03-31T14:27:06.000789"),
        ("-24 hours".replace(" ", ""), "2026-03-30T14:25:36.000789"),
        ("2026-03-01", "2026-03-01T00:00:00"),
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00"),
        ("0", "1970-01-01T00:00:00"),
        ("1772323200.5", "2026-03-01T00:00:00.500000"),
    ],
)
def test_an_expression_names_a_moment(text: str, expected: str) -> None:
    assert moment(text, now=NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-2x", "2h", "-2h@", "@", "-7d@d@d", "2026-13-01", "-999999y", "-h-", "@w9", "-2H 5"]
)
def test_what_cannot_be_read_is_refused_with_examples(text: str) -> None:
    with pytest.raises(QueryInvalid, match="-7d@d"):
        moment(text, now=NOW)


def test_a_range_that_holds_no_time_is_refused() -> None:
    with pytest.raises(QueryInvalid, match="holds no time"):
        time_range("now", "-1h", now=NOW)


def test_now_counts_in_utc_whatever_zone_it_is_given_in() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert moment("@d", now=elsewhere) == datetime(2026, 3, 31, tzinfo=UTC)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(QueryInvalid):
        assert moment(text, now=NOW).tzinfo is UTC


def test_a_context_with_an_unreadable_time_is_refused() -> None:
    assert DiagnosticContext(earliest_time="-2h", indexes=("security",)).latest_time == "now"
    with pytest.raises(ValueError, match="is no time"):
        DiagnosticContext(earliest_time="soon")
