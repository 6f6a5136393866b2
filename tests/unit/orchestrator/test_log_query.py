"""The query language of log searches, and what it becomes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.orchestrator.logs.file_names import sourcetype_of
from evolvent.orchestrator.logs.query import parsed
from evolvent.orchestrator.logs.spl import spl
from evolvent.orchestrator.logs.timestamps import LineTimes, host_of, microseconds
from evolvent.orchestrator.tools.refusals import QueryInvalid
from evolvent.storage.log_query import AllOf, AnyOf, Everything, FieldIs, LogQuery, Not, Phrase, PlacedIn, condition_sql

A, B, C = Phrase("a"), Phrase("b"), Phrase("c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LogQuery(Everything())),
        ("search *", LogQuery(Everything())),
        ("a b", LogQuery(AllOf((A, B)))),
        ("a AND b", LogQuery(AllOf((A, B)))),
        ("a b OR c", LogQuery(AllOf((A, AnyOf((B, C)))))),
        ("(a b) OR c", LogQuery(AnyOf((AllOf((A, B)), C)))),
        ("a NOT b", LogQuery(AllOf((A, Not(B))))),
        ('"a b" c', LogQuery(AllOf((Phrase("a b"), C)))),
        ('"OR" a', LogQuery(AllOf((Phrase("OR"), A)))),
        (r'"say \"a\""', LogQuery(Phrase('say "a"'))),
        ("fail*", LogQuery(Phrase("fail", is_prefix=True))),
        ("index=main status=500", LogQuery(AllOf((PlacedIn("index", "main"), FieldIs("status", "500"))))),
        ('user="bob smith"', LogQuery(FieldIs("user", "bob smith"))),
        ("INDEX=*", LogQuery(PlacedIn("index", "*"))),
        ("a | head 5", LogQuery(A, None, 5)),
        ("a | stats count", LogQuery(A, ())),
        ("* | stats count by sourcetype, host | head 3", LogQuery(Everything(), ("sourcetype", "host"), 3)),
    ],
)
def test_a_query_is_read(text: str, expected: LogQuery) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a | delete", "is not known here"),
        ("a | outputlookup x", "is not known here"),
        ("| rest /services/server/info", "is not known here"),
        ("[search b]", "Subsearches"),
        ("`macro`", "Subsearches and macros"),
        ("status>400", "'>' is not known"),
        ("status!=400", "NOT field=value"),
        ("earliest=-1h a", "time range"),
        ('"open', "quotation mark"),
        ("(a", "parenthesis"),
        ("a)", "parentheses"),
        ("a OR", "where a word is expected"),
        ("--", "no letter"),
        ("*fail", "only end a word"),
        ("a | stats count by user", "counted by"),
        ("a | head 0", "not known"),
        ("a | head 5 | stats count", "not in this place"),
        ("NOT " * 40 + "a", "deep"),
        ("(" * 40 + "a" + ")" * 40, "deep"),
        ("a " * 200, "terms"),
        ("a" * 3_000, "characters"),
    ],
)
def test_everything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(QueryInvalid, match=why):
        parsed(text)


@given(st.text(alphabet="ab \"()|=*\\NOTANDR[`'$", max_size=40))
def test_whatever_is_read_is_written_as_one_search_and_known_commands(text: str) -> None:
    try:
        query = parsed(text)
    except QueryInvalid:
        return
    condition_sql(query.condition)
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", spl(query, limit=10))
    assert not set(bare) & set("[]`'\"$\\")
    first, *commands = bare.split(" | ")
    assert first.startswith("search ")
    assert all(command.split()[0] in ("head", "stats", "sort") for command in commands)


def test_no_query_can_smuggle_a_command_to_splunk() -> None:
    assert spl(parsed('"a\\" | delete \\"b"'), limit=10) == 'search "a\\" | delete \\"b" | head 10'
    assert spl(parsed('user="x\\\\" b'), limit=10) == 'search (user="x\\\\" AND "b") | head 10'
    assert spl(parsed("a | stats count by host"), limit=9) == 'search "a" | stats count by host | sort - count | head 9'


def test_conditions_on_text_alone_are_one_question_to_the_full_text_index() -> None:
    sql, values = condition_sql(parsed('a "b c" OR d* NOT e').condition)
    assert (sql.count("MATCH"), values) == (1, ['(("a" AND ("b c" OR "d"*)) NOT "e")'])
    sql, values = condition_sql(parsed("index=main a b NOT c").condition)
    assert (sql.count("MATCH"), values[0]) == (1, '(("a" AND "b") NOT "c")')


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-03-01T12:00:00.250Z started", "2026-03-01T12:00:00.250"),
        ("2026-03-01 12:00:00,250 INFO started", "2026-03-01T12:00:00.250"),
        ("[2026-03-01 14:00:00 +0200] started", "2026-03-01T12:00:00"),
        ("2026/03/01 12:00:00 [error] 7#7: refused", "2026-03-01T12:00:00"),
        ('{"timestamp": "2026-03-01T12:00:00.123456789+00:00"}', "2026-03-01T12:00:00.123456"),
        ("Mar  1 12:00:00 web1 sshd[7]: Accepted", "2026-03-01T12:00:00"),
        ("<34>Dec 31 23:59:59 web1 su: failed", "2025-12-31T23:59:59"),
        ('1.2.3.4 - - [01/Mar/2026:13:30:00 +0130] "GET / HTTP/1.1" 200', "2026-03-01T12:00:00"),
        ("[Sun Mar 01 12:00:00.5 2026] [core:error] down", "2026-03-01T12:00:00"),
        ("1772366400.5 queued", "2026-03-01T12:00:00.5"),
        ("no time at all", "2026-03-02T00:00:00"),
    ],
)
def test_the_usual_times_of_lines_are_read(line: str, expected: str) -> None:
    times = LineTimes(datetime(2026, 3, 2, tzinfo=UTC))
    assert times.read(line) == microseconds(datetime.fromisoformat(expected).replace(tzinfo=UTC))


def test_a_line_without_a_time_belongs_to_the_line_before() -> None:
    times = LineTimes(datetime(2026, 3, 2, tzinfo=UTC))
    first = times.read("2026-03-01T12:00:00Z Traceback (most recent call last):")
    assert times.read('  File "x.py", line 1') == first


def test_hosts_and_sourcetypes_are_read_from_lines_and_names() -> None:
    assert host_of("Mar  1 12:00:00 web1 sshd[7]: Accepted") == "web1"
    assert host_of("2026-03-01T12:00:00.1+00:00 db-2 cron[9]: run") == "db-2"
    assert host_of("started web1") is None
    names = {
        "syslog.2.gz": "syslog", "auth.log": "linux_secure", "access.log-20260301": "access_combined",
        "error.log": "web_error", "events.jsonl": "json", "firewall.log.1": "firewall", "asa-2026-03-01": "asa",
    }  # fmt: skip
    assert {name: sourcetype_of(name) for name in names} == names
