"""What was learnt of runs: a row for each signature, written in the commit that moves the learner's position.

Any number of learners may try: each commit says on which it builds, and only one builds on it. The tables are in
`signature_rows.py`. Shown in use by tests/integration/test_signatures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection

from evolvent.storage.columns import read_moment
from evolvent.storage.database import Database
from evolvent.storage.run_parts import clean, json_text
from evolvent.storage.statements import Statement, insert

POSITION = "learn"
COMMITS = "learn_commits"


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """A signature as it is put. `document` is its dump.

    `words` are the same for all with the same words in a scope, `work` for all that do the same in other words.
    """

    signature: str
    goal: str
    agent_id: str
    words: str
    work: str
    skeleton: str
    shape: str
    is_filler: bool
    support: int
    principals: int
    sessions: int
    disputed: int
    last_at: datetime
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownSignature:
    """A signature without its document, and what came of it. `automation` is the id of what was learnt, if anything.

    `tried_*` say with what support, disputes, tools and rules an automation was last looked for; `verdict` why there
    is none.
    """

    signature: str
    goal: str
    agent_id: str
    words: str
    work: str
    skeleton: str
    shape: str
    is_filler: bool
    support: int
    principals: int
    sessions: int
    disputed: int
    last_at: datetime
    changes: int
    looked: int
    looked_with: str
    tried_support: int
    tried_disputed: int
    tried_with: str
    verdict: str
    is_nominated: bool
    automation: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A finished run that a version of an automation served, or began to serve."""

    run_id: str
    automation_id: str
    version: int
    is_wrong: bool = False
    is_deoptimized: bool = False
    tokens_saved: int = 0


@dataclass(frozen=True, slots=True)
class AutomationTotals:
    """How a version of an automation did so far. `tokens_saved` is against the mean of its source runs."""

    served: int = 0
    wrong: int = 0
    deoptimized: int = 0
    tokens_saved: int = 0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one commit of the learner keeps. It builds on commit number `builds_on` and on no other.

    `servings` are of runs that finished; `wrong` of runs that were counted before and disputed later. `disputes` are
    those that were taken up.
    """

    builds_on: int
    position: int
    signatures: Sequence[SignatureRecord] = ()
    disputes: Sequence[str] = ()
    servings: Sequence[Serving] = ()
    wrong: Sequence[Serving] = ()


_COLUMNS = ", ".join(KnownSignature.__slots__)
_PUT_NAMES = SignatureRecord.__slots__
_UPSERT = Statement(
    f"INSERT INTO signatures ({', '.join(_PUT_NAMES)}, changes, looked, looked_with, tried_support, tried_disputed,"  # noqa: S608
    " tried_with, verdict, is_nominated, automation)"
    f" VALUES ({', '.join(f':{name}' for name in _PUT_NAMES)}, 1, 0, '', 0, 0, '', '', :no, '')"
    " ON CONFLICT (signature) DO UPDATE SET support = excluded.support, principals = excluded.principals,"
    " sessions = excluded.sessions, disputed = excluded.disputed, last_at = excluded.last_at,"
    " document = excluded.document, changes = signatures.changes + 1"
)
_DOCUMENTS = Statement("SELECT document FROM signatures WHERE signature IN :names ORDER BY signature")
_GET = Statement(f"SELECT {_COLUMNS} FROM signatures WHERE signature IN :names ORDER BY signature")  # noqa: S608
_SAME_WORDS = Statement("SELECT signature FROM signatures WHERE words IN :words ORDER BY signature")
_SAME_WORK = Statement("SELECT signature FROM signatures WHERE work IN :works AND is_filler = :no ORDER BY signature")
_DUE = Statement(
    f"SELECT {_COLUMNS} FROM signatures WHERE is_filler = :no AND signature > :after"  # noqa: S608
    " AND (support >= :min_support OR automation <> '') AND (looked <> changes OR looked_with <> :looked_with)"
    " ORDER BY signature LIMIT :most"
)
_FILLERS = Statement(
    f"SELECT {_COLUMNS} FROM signatures WHERE is_filler = :yes AND support >= :min_support"  # noqa: S608
    " AND looked <> changes ORDER BY signature LIMIT :most"
)
_OF_SCOPE = Statement(
    "SELECT signature FROM signatures WHERE goal = :goal AND agent_id = :agent_id AND is_filler = :is_filler"
    " AND support >= :min_support ORDER BY support DESC, signature LIMIT :most"
)
_LISTED = Statement(
    f"SELECT {_COLUMNS} FROM signatures WHERE is_filler = :no AND support >= :min_support"  # noqa: S608
    " ORDER BY support DESC, signature LIMIT :most"
)
_BEGINNING = Statement(
    f"SELECT {_COLUMNS} FROM signatures WHERE signature >= :low AND signature < :high ORDER BY signature LIMIT 2"  # noqa: S608
)
_LOOKED = Statement(
    "UPDATE signatures SET looked = :looked, looked_with = :looked_with, tried_support = :tried_support,"
    " tried_disputed = :tried_disputed, tried_with = :tried_with, verdict = :verdict, is_nominated = :is_nominated,"
    " automation = :automation WHERE signature = :signature"
)
_LOOK_AGAIN = Statement("UPDATE signatures SET looked = -1 WHERE words IN :words AND automation <> ''")
_DISPUTES = Statement("SELECT run_id FROM disputes ORDER BY run_id LIMIT :most")
_TAKEN_UP = Statement("DELETE FROM disputes WHERE run_id IN :run_ids")
_POSITIONS = Statement("SELECT name, position FROM positions WHERE name IN :names")
_START = insert("positions", ("name", "position"), conflict="ON CONFLICT (name) DO NOTHING")
_BUILD = Statement("UPDATE positions SET position = :after WHERE name = :name AND position = :before")
_MOVE = Statement("UPDATE positions SET position = :position WHERE name = :name")
_ADD = Statement(
    "INSERT INTO automation_totals (automation_id, version, served, wrong, deoptimized, tokens_saved)"
    " VALUES (:automation_id, :version, :served, :wrong, :deoptimized, :tokens_saved)"
    " ON CONFLICT (automation_id, version) DO UPDATE SET served = automation_totals.served + excluded.served,"
    " wrong = automation_totals.wrong + excluded.wrong,"
    " deoptimized = automation_totals.deoptimized + excluded.deoptimized,"
    " tokens_saved = automation_totals.tokens_saved + excluded.tokens_saved"
)
_WRONG = insert("automation_wrong", ("run_id", "automation_id", "version"), conflict="ON CONFLICT DO NOTHING")
_TOTALS = Statement(
    "SELECT automation_id, version, served, wrong, deoptimized, tokens_saved FROM automation_totals"
    " WHERE automation_id IN :ids"
)


class SignatureRows:
    """Keeps signatures, disputes and totals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stand(self) -> tuple[int, int]:
        """Return the number of the last commit and the position in the finished runs."""
        rows = await self._rows(_POSITIONS, {"names": [COMMITS, POSITION]})
        found = {name: int(position) for name, position in rows}
        return found.get(COMMITS, 0), found.get(POSITION, 0)

    async def keep(self, lesson: Lesson, *, beside: Callable[[Connection], None] | None = None) -> bool:
        """Keep a lesson, and what is written beside it, in one commit; False, with nothing kept, where another came."""
        puts = [_values(record) for record in lesson.signatures]
        words = sorted({record.words for record in lesson.signatures})

        def work(conn: Connection) -> bool:
            _START.many(conn, [{"name": name, "position": 0} for name in (COMMITS, POSITION)])
            after = lesson.builds_on + 1
            if _BUILD.count(conn, {"name": COMMITS, "before": lesson.builds_on, "after": after}) != 1:
                return False
            _MOVE.count(conn, {"name": POSITION, "position": lesson.position})
            _UPSERT.many(conn, puts)
            if words:
                _LOOK_AGAIN.count(conn, {"words": words})
            if lesson.disputes:
                _TAKEN_UP.count(conn, {"run_ids": lesson.disputes})
            _count(conn, lesson)
            if beside is not None:
                beside(conn)
            return True

        return await self._database.writer.run(work)

    async def disputes(self, most: int) -> list[str]:
        """Return runs that were disputed and not yet taken up."""
        return [str(run_id) for (run_id,) in await self._rows(_DISPUTES, {"most": most})]

    async def documents(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the dumps of these signatures; those that nobody put are missing."""
        return [from_json(text) for (text,) in await self._rows(_DOCUMENTS, {"names": names})] if names else []

    async def same_words(self, words: Sequence[str]) -> list[str]:
        """Return the names of all signatures with these words."""
        return [str(name) for (name,) in await self._rows(_SAME_WORDS, {"words": words})]

    async def same_work(self, works: Sequence[str]) -> list[str]:
        """Return the names of all signatures that do this work, in whatever words."""
        return [str(name) for (name,) in await self._rows(_SAME_WORK, {"works": works, "no": False})]

    async def of_scope(
        self, scope: tuple[str, str], *, is_filler: bool, min_support: int = 1, most: int = 2000
    ) -> list[str]:
        """Return the names of the signatures of a scope, best supported first."""
        values = {"goal": scope[0], "agent_id": scope[1], "is_filler": is_filler}
        rows = await self._rows(_OF_SCOPE, {**values, "min_support": min_support, "most": most})
        return [str(name) for (name,) in rows]

    async def due(self, *, min_support: int, looked_with: str, after: str = "", most: int = 50) -> list[KnownSignature]:
        """Return signatures, by name, that changed since they were looked at, or were looked at with other rules."""
        values = {"no": False, "after": after, "min_support": min_support, "looked_with": looked_with, "most": most}
        return [_known(row) for row in await self._rows(_DUE, values)]

    async def changed_small_talk(self, *, min_support: int, most: int = 500) -> list[KnownSignature]:
        """Return small talk that changed since it was looked at."""
        values = {"yes": True, "min_support": min_support, "most": most}
        return [_known(row) for row in await self._rows(_FILLERS, values)]

    async def looked_at(self, found: Sequence[KnownSignature]) -> None:
        """Keep what came of looking at signatures; their `looked` says at which change."""
        rows = [{name: getattr(each, name) for name in KnownSignature.__slots__} for each in found]
        await self._database.writer.run(lambda conn: _LOOKED.many(conn, rows))

    async def get(self, names: Sequence[str]) -> dict[str, KnownSignature]:
        """Return what is known of signatures, by name; unknown ones are missing."""
        return {each.signature: each for each in map(_known, await self._rows(_GET, {"names": names}))}

    async def beginning(self, start: str) -> list[KnownSignature]:
        """Return up to two signatures whose names begin so: one is meant, two are too few letters."""
        return [_known(row) for row in await self._rows(_BEGINNING, {"low": start, "high": f"{start}~"})]

    async def listed(self, *, min_support: int = 1, most: int = 100) -> list[KnownSignature]:
        """Return signatures that do something, best supported first."""
        values = {"no": False, "min_support": min_support, "most": most}
        return [_known(row) for row in await self._rows(_LISTED, values)]

    async def totals(self, automation_ids: Sequence[str]) -> dict[tuple[str, int], AutomationTotals]:
        """Return how versions of automations did, by (automation_id, version); those that never served are missing."""
        rows = await self._rows(_TOTALS, {"ids": automation_ids})
        return {(str(row[0]), int(row[1])): AutomationTotals(*(int(each) for each in row[2:])) for row in rows}

    async def _rows(self, statement: Statement, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return await self._database.look_up(lambda conn: statement.rows(conn, values))


def _values(record: SignatureRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _PUT_NAMES}
    cleaned = {name: clean(values[name]) for name in ("skeleton", "shape")}
    return {**values, **cleaned, "document": clean(json_text(record.document)), "no": False}


def _count(conn: Connection, lesson: Lesson) -> None:
    for serving in lesson.servings:
        _ADD.count(conn, _total(serving, served=int(not serving.is_deoptimized), tokens_saved=serving.tokens_saved))
    for serving in (*lesson.servings, *lesson.wrong):
        if serving.is_wrong and _WRONG.count(conn, _key(serving)) == 1:
            _ADD.count(conn, _total(serving, wrong=1, deoptimized=0))


def _key(serving: Serving) -> dict[str, Any]:
    return {name: getattr(serving, name) for name in ("run_id", "automation_id", "version")}


def _total(serving: Serving, **values: int) -> dict[str, Any]:
    own = {"served": 0, "wrong": 0, "deoptimized": int(serving.is_deoptimized), "tokens_saved": 0, **values}
    return {"automation_id": serving.automation_id, "version": serving.version, **own}


def _known(row: tuple[Any, ...]) -> KnownSignature:
    values = dict(zip(KnownSignature.__slots__, row, strict=True))
    flags = {name: bool(values[name]) for name in ("is_filler", "is_nominated")}
    return KnownSignature(**{**values, **flags, "last_at": read_moment(values["last_at"])})
