"""Splunk as a log source, against a local server that answers in the forms of Splunk's REST reference."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from evolvent.events.errors import ConfigInvalid
from evolvent.orchestrator.logs.errors import (
    LogAnswerInvalid,
    LogServerDenied,
    LogServerRefused,
    LogServerUnavailable,
)
from evolvent.orchestrator.logs.source import LogSource
from evolvent.orchestrator.logs.splunk import SplunkAccess, SplunkLogs
from evolvent.orchestrator.tools.refusals import QueryInvalid

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKEN = "eyJ-a-token"
RAW = {
    "_bkt": "main~1~A", "_cd": "1:42", "_indextime": "1772366401", "_serial": "0", "_si": ["idx1", "main"],
    "_raw": "Mar  1 12:00:00 fw1 %ASA-4-106023: Deny tcp", "_sourcetype": "cisco:asa",
    "_time": "2026-03-01T13:00:00.000+01:00", "host": "fw1", "index": "main", "linecount": "1",
    "source": "udp:514", "sourcetype": "cisco:asa", "splunk_server": "idx1",
}  # fmt: skip


def entries(*found: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "links": {},
        "origin": "https://localhost:8089/services",
        "updated": "2026-03-01T12:00:00+00:00",
        "generator": {"build": "a1b2", "version": "9.4.1"},
        "entry": [{"name": name, "id": name, "links": {}, "acl": {}, "content": content} for name, content in found],
        "paging": {"total": len(found), "perPage": 0, "offset": 0},
        "messages": [],
    }


def results(*found: dict[str, Any], messages: tuple[dict[str, str], ...] = ()) -> dict[str, Any]:
    names = [{"name": name} for name in (found[0] if found else {})]
    return {
        "preview": False,
        "init_offset": 0,
        "messages": list(messages),
        "fields": names,
        "results": list(found),
        "highlighted": {},
    }


INDEXES = entries(
    ("main", {"totalEventCount": "120", "minTime": "2026-02-01T00:00:00+0000", "maxTime": "2026-03-01T12:00:00+0000",
              "currentDBSizeMB": "3", "disabled": False, "isInternal": "0"}),
    ("firewall", {"totalEventCount": 0, "minTime": "", "maxTime": "", "currentDBSizeMB": 1, "disabled": "1"}),
)  # fmt: skip
CONTEXT = entries(
    ("context", {"username": "ann", "roles": ["user"], "capabilities": ["search", "rest_properties_get"], "tz": ""})
)
INFO = {
    "version": "9.4.1", "build": "a1b2", "serverName": "sh1", "licenseState": "OK", "isFree": False, "isTrial": True,
    "activeLicenseGroup": "Trial", "health_info": "green", "product_type": "enterprise",
}  # fmt: skip


@dataclass
class Server:
    """A Splunk server on loopback: answers by path, and remembers what it was asked."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    instead: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = dict(await request.post())
        self.asked.append({"path": request.path, "query": dict(request.query), "form": form})
        if self.instead is not None:
            return await self.instead(request)
        if request.headers.get("Authorization") not in (f"Bearer {TOKEN}", basic("ann", "pass")):
            said = {"messages": [{"type": "WARN", "text": "call not properly authenticated"}]}
            return web.json_response(said, status=401)
        match request.path:
            case "/services/search/jobs":
                return web.json_response(self.searched(str(form["search"])))
            case "/services/data/indexes":
                return web.json_response(INDEXES)
            case "/services/authentication/current-context":
                return web.json_response(CONTEXT)
            case "/services/server/info":
                return web.json_response(entries(("server-info", INFO)))
        return web.json_response({"messages": [{"type": "ERROR", "text": "Not Found"}]}, status=404)

    def searched(self, search: str) -> dict[str, Any]:
        if search.startswith("| metadata"):
            return results(
                {"firstTime": "1772323200", "lastTime": "1772366400", "recentTime": "1772366401",
                 "sourcetype": "cisco:asa", "totalCount": "120", "type": "sourcetypes"}
            )  # fmt: skip
        if search.endswith("| stats count"):
            return results({"count": "7"})
        if "stats count by" in search:
            return results({"sourcetype": "cisco:asa", "count": "5"}, {"sourcetype": "syslog", "count": "2"})
        return results(RAW)

    def say(self, status: int, document: object = None, **headers: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, text=json.dumps(document), headers=headers)

        self.instead = answer


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def logs(server: Server) -> AsyncIterator[SplunkLogs]:
    source = SplunkLogs(SplunkAccess(server.url, SecretStr(TOKEN), timeout_seconds=5))
    yield source
    await source.close()


async def ask(source: LogSource, query: str = "deny", limit: int = 50) -> Any:
    return await source.search(query, earliest=NOON - HOUR, latest=NOON, limit=limit)


async def test_a_search_is_one_oneshot_within_the_time_range(logs: SplunkLogs, server: Server) -> None:
    result = await ask(logs, "index=main deny NOT udp")
    (event,) = result.events
    assert (event.time, event.index, event.sourcetype, event.host) == (NOON, "main", "cisco:asa", "fw1")
    assert (event.source, event.text, result.total) == ("udp:514", RAW["_raw"], 7)
    shown = next(one for one in server.asked if "stats" not in one["form"]["search"])
    assert shown["query"] == {"output_mode": "json"}
    assert shown["form"]["search"] == 'search (index="main" AND "deny" AND NOT ("udp")) | head 50'
    assert (shown["form"]["exec_mode"], shown["form"]["count"]) == ("oneshot", "50")
    assert float(shown["form"]["latest_time"]) - float(shown["form"]["earliest_time"]) == 3_600


async def test_counts_come_as_rows(logs: SplunkLogs) -> None:
    result = await ask(logs, "deny | stats count by sourcetype")
    assert result.rows == ({"sourcetype": "cisco:asa", "count": 5}, {"sourcetype": "syslog", "count": 2})
    assert (result.total, result.events) == (7, ())


async def test_indexes_sourcetypes_user_and_health_are_read_as_documented(logs: SplunkLogs, server: Server) -> None:
    firewall, main = await logs.indexes()
    assert (main.event_count, main.size_bytes, main.latest, main.disabled) == (120, 3 * 1024**2, NOON, False)
    assert (firewall.name, firewall.disabled, firewall.earliest) == ("firewall", True, None)
    (asa,) = await logs.sourcetypes('main" | delete "')
    assert (asa.name, asa.event_count, asa.latest) == ("cisco:asa", 120, NOON)
    assert server.asked[-1]["form"]["search"] == '| metadata type=sourcetypes index="main\\" | delete \\"" | head 1000'
    user = await logs.current_user()
    assert (user.name, user.roles, user.capabilities) == ("ann", ("user",), ("search", "rest_properties_get"))
    health = await logs.health()
    assert (health.is_ok, health.version, health.license.state, health.license.edition) == (
        True,
        "9.4.1",
        "OK",
        "Trial",
    )
    assert health.license.is_trial and health.license.is_required
    assert isinstance(logs, LogSource)


async def test_a_name_and_a_password_open_the_server_too(server: Server) -> None:
    source = SplunkLogs(SplunkAccess(server.url, username="ann", password=SecretStr("pass")))
    assert (await source.current_user()).name == "ann"
    await source.close()


async def test_a_wrong_token_is_refused_and_never_told(server: Server) -> None:
    source = SplunkLogs(SplunkAccess(server.url, SecretStr("wrong-secret")))
    with pytest.raises(LogServerDenied, match="not properly authenticated") as caught:
        await ask(source)
    assert "wrong-secret" not in str(caught.value) + repr(source)
    await source.close()


@pytest.mark.parametrize(
    ("status", "document", "error", "said"),
    [
        (
            400,
            {"messages": [{"type": "FATAL", "text": "Error in 'search': Unbalanced"}]},
            LogServerRefused,
            "Unbalanced",
        ),
        (403, {"messages": [{"type": "ERROR", "text": "insufficient permission"}]}, LogServerDenied, "insufficient"),
        (503, {"messages": [{"type": "ERROR", "text": "maximum searches"}]}, LogServerUnavailable, "maximum searches"),
        (200, results(messages=({"type": "FATAL", "text": "Unknown index"},)), LogServerRefused, "Unknown index"),
        (200, [1, 2], LogAnswerInvalid, "no JSON object"),
        (200, {"sid": "1.2"}, LogAnswerInvalid, "without results"),
        (200, results({"_raw": "x"}), LogAnswerInvalid, "without a time"),
    ],
)
async def test_errors_say_what_splunk_said(
    logs: SplunkLogs, server: Server, status: int, document: object, error: type[Exception], said: str
) -> None:
    server.say(status, document)
    with pytest.raises(error, match=said):
        await ask(logs)


async def test_a_redirect_is_not_followed(logs: SplunkLogs, server: Server) -> None:
    server.say(302, {}, Location="/elsewhere")
    with pytest.raises(LogAnswerInvalid, match="redirects"):
        await logs.indexes()
    assert [one["path"] for one in server.asked] == ["/services/data/indexes"]


async def test_an_answer_without_end_is_dropped_at_its_bound(server: Server) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    server.instead = flood
    source = SplunkLogs(SplunkAccess(server.url, SecretStr(TOKEN), most_bytes=200_000))
    with pytest.raises(LogAnswerInvalid, match="200000 bytes"):
        await source.indexes()
    await source.close()


async def test_a_server_that_is_silent_or_gone_is_unavailable(server: Server) -> None:
    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server.instead = silent
    source = SplunkLogs(SplunkAccess(server.url, SecretStr(TOKEN), timeout_seconds=0.2))
    with pytest.raises(LogServerUnavailable, match=r"0\.2 s"):
        await source.indexes()
    await source.close()
    gone = SplunkLogs(SplunkAccess("http://127.0.0.1:9", SecretStr(TOKEN)))
    with pytest.raises(LogServerUnavailable, match="cannot be reached"):
        await gone.indexes()
    await gone.close()


async def test_a_query_outside_the_language_is_never_sent(logs: SplunkLogs, server: Server) -> None:
    with pytest.raises(QueryInvalid):
        await ask(logs, "a | outputlookup stolen.csv")
    assert server.asked == []


@pytest.mark.parametrize(
    ("access", "why"),
    [
        (SplunkAccess("http://splunk.example:8089", SecretStr("t")), "https"),
        (SplunkAccess("splunk.example:8089", SecretStr("t")), "address"),
        (SplunkAccess("https://ann:pass@splunk.example", SecretStr("t")), "address"),
        (SplunkAccess("https://splunk.example:99999", SecretStr("t")), "address"),
        (SplunkAccess("https://splunk.example:8089"), "splunk_token"),
    ],
)
def test_access_that_would_give_secrets_away_or_cannot_work_is_refused(access: SplunkAccess, why: str) -> None:
    with pytest.raises(ConfigInvalid, match=why):
        SplunkLogs(access)
