"""Splunk as a log source, over its REST API. The only module that speaks HTTP for logs.

Queries are read and written anew (`spl.py`), so that only searching can be asked for. Redirects and proxies are
not followed, and certificates are checked: the token goes to the server that the operator named, and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from evolvent.events.errors import ConfigInvalid
from evolvent.orchestrator.logs import splunk_answers as answers
from evolvent.orchestrator.logs.errors import (
    LogAnswerInvalid,
    LogServerDenied,
    LogServerRefused,
    LogServerUnavailable,
)
from evolvent.orchestrator.logs.query import parsed
from evolvent.orchestrator.logs.source import IndexInfo, LogHealth, LogUser, SearchResult, SourcetypeInfo
from evolvent.orchestrator.logs.spl import count_spl, quoted, spl

_SEARCH: Final = "/services/search/jobs"
_INDEXES: Final = "/services/data/indexes"
_CONTEXT: Final = "/services/authentication/current-context"
_INFO: Final = "/services/server/info"
_CHUNK_BYTES = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MOST_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class SplunkAccess:
    """Where Splunk's management port is, and as whom to ask: by token, or by name and password."""

    url: str
    token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    """Certificates to trust instead of the system's. There is no way to trust any certificate."""
    timeout_seconds: float = 30.0
    most_bytes: int = 16 * 1024 * 1024
    """The longest answer that is read, unpacked."""


class SplunkLogs:
    """A Splunk server. Belongs to one event loop.

    Raises:
        ConfigInvalid: If the address or the account cannot be used.
    """

    def __init__(self, access: SplunkAccess) -> None:
        _require_usable(access)
        self._access = access
        self._base = access.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def search(self, query: str, *, earliest: datetime, latest: datetime, limit: int) -> SearchResult:
        """Search once and wait for the end, the latest events first.

        Raises:
            QueryInvalid: If the query is not in the language. Nothing was sent.
            LogServerDenied, LogServerRefused, LogServerUnavailable, LogAnswerInvalid: As the server answered.
        """
        wanted = parsed(query)
        between = {"earliest_time": f"{earliest.timestamp():.6f}", "latest_time": f"{latest.timestamp():.6f}"}
        if wanted.count_by is not None:
            found = await self._oneshot(spl(wanted, limit=_MOST_ROWS), between, most=_MOST_ROWS)
            rows = tuple(answers.row_of(one) for one in found)
            counted = sum(int(row.get("count", 0)) for row in rows)
            return SearchResult((), rows, counted, is_complete=len(rows) < _MOST_ROWS)
        found, counts = await asyncio.gather(
            self._oneshot(spl(wanted, limit=limit), between, most=limit),
            self._oneshot(count_spl(wanted), between, most=1),
        )
        events = tuple(answers.event_of(one) for one in found)
        # Events may come in between the two searches.
        return SearchResult(events, (), max(answers.count_of(counts), len(events)))

    async def indexes(self) -> list[IndexInfo]:
        """Return the indexes that this account may list."""
        listed = answers.entries_of(await self._get(_INDEXES, count="0", datatype="all"))
        return sorted((answers.index_info(name, content) for name, content in listed), key=lambda one: one.name)

    async def sourcetypes(self, index: str) -> list[SourcetypeInfo]:
        """Return the sourcetypes of an index, over all time."""
        search = f"| metadata type=sourcetypes index={quoted(index)} | head {_MOST_ROWS}"
        found = await self._oneshot(search, {"earliest_time": "0", "latest_time": "now"}, most=_MOST_ROWS)
        return sorted((answers.sourcetype_info(one) for one in found), key=lambda one: one.name)

    async def current_user(self) -> LogUser:
        """Return the account behind the token, its roles and capabilities."""
        return answers.user_info(_only(await self._get(_CONTEXT)))

    async def health(self) -> LogHealth:
        """Return what the server says of itself and its licence."""
        content = _only(await self._get(_INFO))
        checks = answers.server_checks(content)
        is_ok = all(check.is_ok for check in checks)
        return LogHealth("splunk", is_ok, str(content.get("version", "")), answers.license_info(content), checks)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _oneshot(self, search: str, between: Mapping[str, str], *, most: int) -> list[answers.Answer]:
        form = {"search": search, "exec_mode": "oneshot", "count": str(most), "adhoc_search_level": "fast", **between}
        answer = await self._ask("POST", _SEARCH, {"output_mode": "json"}, form)
        if answers.has_failed(answer):
            raise LogServerRefused(f"Splunk did not run the search: {answers.messages_of(answer)}")
        return answers.results_of(answer)

    async def _get(self, path: str, **parameters: str) -> answers.Answer:
        return await self._ask("GET", path, {"output_mode": "json", **parameters}, None)

    async def _ask(
        self, method: str, path: str, parameters: Mapping[str, str], form: Mapping[str, str] | None
    ) -> answers.Answer:
        try:
            async with self._connected().request(
                method, self._base + path, params=parameters, data=form, allow_redirects=False
            ) as response:
                body = await self._read(response)
                status = response.status
        except TimeoutError:
            seconds = self._access.timeout_seconds
            raise LogServerUnavailable(f"Splunk did not answer within {seconds:g} s; narrow the time range.") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise LogServerUnavailable(
                f"The certificate of Splunk at {self._base} is not trusted; name its authority in `tools.logs`."
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            raise LogServerUnavailable(f"Splunk at {self._base} cannot be reached ({reason}); check it.") from error
        return _answer(status, body)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._access.most_bytes:
                raise LogAnswerInvalid(
                    f"Splunk's answer is longer than {self._access.most_bytes} bytes; ask for less. It was dropped."
                )
            parts.append(chunk)
        return b"".join(parts)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            access = self._access
            trusted = ssl.create_default_context(cafile=str(access.ca_file) if access.ca_file else None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trusted, limit=8),
                timeout=aiohttp.ClientTimeout(total=access.timeout_seconds, connect=10),
                headers={"Authorization": _authorization(access), "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _require_usable(access: SplunkAccess) -> None:
    try:
        parts = urlsplit(access.url)
        is_whole = parts.hostname is not None and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or parts.username or parts.query or parts.fragment:
        raise ConfigInvalid("`tools.logs.splunk_url` must be the address of Splunk's management port, and no more.")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigInvalid("`tools.logs.splunk_url` must begin with https://, since the token travels to it.")
    if access.token is None and (access.username is None or access.password is None):
        raise ConfigInvalid("Set `tools.logs.splunk_token`, or `splunk_username` and `splunk_password`.")


def _authorization(access: SplunkAccess) -> str:
    if access.token is not None:
        return f"Bearer {access.token.get_secret_value()}"
    assert access.username is not None and access.password is not None
    account = f"{access.username}:{access.password.get_secret_value()}"
    return "Basic " + base64.b64encode(account.encode()).decode()


def _answer(status: int, body: bytes) -> answers.Answer:
    try:
        found: Any = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        found = None
    said = answers.messages_of(found) if isinstance(found, dict) else ""
    match status:
        case 401 | 403:
            raise LogServerDenied(f"Splunk refuses this account ({status}). {said or 'Check its token and roles.'}")
        case 429 | 500 | 502 | 503 | 504:
            raise LogServerUnavailable(f"Splunk is busy or not ready ({status}). {said or 'Try again shortly.'}")
        case _ if 300 <= status < 400:
            raise LogAnswerInvalid(f"Splunk redirects ({status}), which is not followed; check the address.")
        case _ if status >= 400:
            raise LogServerRefused(f"Splunk refused the request ({status}). {said}")
    if not isinstance(found, dict):
        raise LogAnswerInvalid("Splunk's answer is no JSON object; check that the address is its management port.")
    return found


def _only(answer: answers.Answer) -> answers.Answer:
    entries = answers.entries_of(answer)
    if not entries:
        raise LogAnswerInvalid("Splunk's answer is empty; check the account's capabilities.")
    return entries[0][1]
