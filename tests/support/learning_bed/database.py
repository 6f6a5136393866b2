"""Databases of the bed's worlds: one base that nobody changes, and for each run its own copy on write."""

from __future__ import annotations

import copy
import functools
import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from evolvent.orchestrator.tools import ToolContext

Record = dict[str, Any]
Changes = dict[str, dict[str, Record]]
"""What a run changed: table, key, the record as it is now."""
RESOURCE = "learning_bed"
STATE_VARIABLE = "LEARNING_BED_STATE"
"""A folder: what runs change is then kept there, so that it outlives the process and another can judge it."""
SEED_VARIABLE = "LEARNING_BED_SEED"
_DRIFT_FILE = "drift.json"


class Refused(ValueError):
    """A tool of the bed did not do what was asked; the text is for the agent."""


class Base:
    """Tables of records by key. Nobody changes them."""

    def __init__(self, tables: Mapping[str, Mapping[str, Record]], *, drift: str | None = None) -> None:
        self.tables = tables
        self.drift = drift
        self._indexes: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], list[str]]] = {}

    def keys_where(self, table: str, fields: Mapping[str, Any]) -> list[str]:
        """The keys of all records whose fields have these values; `a__b` is field b of field a."""
        names = tuple(fields)
        index = self._indexes.get((table, names))
        if index is None:
            index = self._indexes[table, names] = {}
            for key, record in self.tables[table].items():
                index.setdefault(tuple(_field(record, name) for name in names), []).append(key)
        return index.get(tuple(fields.values()), [])


class Database:
    """One run's view of a base: what it writes is seen by itself only."""

    def __init__(self, base: Base, *, file: Path | None = None) -> None:
        self.base = base
        self._file = file
        self._own: Changes = {}
        self._done: dict[str, Any] = {}
        if file is not None and file.exists():
            kept = json.loads(file.read_text())
            self._own, self._done = kept["changed"], kept["done"]

    def find(self, table: str, key: str) -> Record | None:
        """A record to read, or None."""
        own = self._own.get(table)
        if own is not None and key in own:
            return copy.deepcopy(own[key])
        return self.base.tables[table].get(key)

    def get(self, table: str, key: str, missing: str) -> Record:
        """A record to read; `missing` says what is wrong where there is none."""
        found = self.find(table, key)
        if found is None:
            raise Refused(missing)
        return found

    def where(self, table: str, **fields: Any) -> list[Record]:
        """All records with these values, in the order of the table."""
        own = self._own.get(table, {})
        keys = [key for key in self.base.keys_where(table, fields) if key not in own]
        mine = [key for key, record in own.items() if all(_field(record, n) == v for n, v in fields.items())]
        return [record for key in sorted(keys + mine) if (record := self.find(table, key)) is not None]

    def edit(self, table: str, key: str) -> Record:
        """A record to change in place."""
        own = self._own.setdefault(table, {})
        if key not in own:
            own[key] = copy.deepcopy(self.base.tables[table][key])
        return own[key]

    def put(self, table: str, key: str, record: Record) -> Record:
        """Add a record."""
        self._own.setdefault(table, {})[key] = record
        return record

    def once(self, key: str | None, write: Callable[[], Any]) -> Any:
        """Write, and return the same result without writing where this key was seen before."""
        if key is not None and key in self._done:
            return self._done[key]
        result = copy.deepcopy(write())
        if key is not None:
            self._done[key] = result
        if self._file is not None:
            self._save(self._file)
        return result

    def changes(self) -> Changes:
        """What is different from the base."""
        changed: Changes = {}
        for table, records in self._own.items():
            base = self.base.tables[table]
            different = {key: copy.deepcopy(record) for key, record in records.items() if base.get(key) != record}
            if different:
                changed[table] = different
        return changed

    def _save(self, file: Path) -> None:
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"changed": self._own, "done": self._done}))
        new.replace(file)


class Desk:
    """The databases of all runs of a process: what live tools write to and what the judge reads.

    Args:
        bases: The worlds; others are built when they are first asked for.
        folder: Where changes are kept; in memory only without one.
    """

    def __init__(self, bases: Mapping[str, Base] | None = None, *, folder: Path | None = None) -> None:
        self._bases: dict[tuple[str, str | None], Base] = {(name, None): base for name, base in (bases or {}).items()}
        self._drifts: dict[str, str] = {}
        self._folder = folder
        self._open: dict[tuple[str, str], Database] = {}

    def database(self, world: str, run_id: str) -> Database:
        """The database of a run. A new run sees the drift that is on."""
        found = self._open.get((world, run_id))
        if found is None:
            found = Database(self._base(world), file=self._file(world, run_id))
            self._open[world, run_id] = found
        return found

    def drift(self, world: str, kind: str | None, base: Base | None = None) -> None:
        """From now on, new runs see this drift; `base` is built where it is not given."""
        self._drifts.pop(world, None)
        if kind is not None:
            self._drifts[world] = kind
            if base is not None:
                self._bases[world, kind] = base
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _DRIFT_FILE).write_text(json.dumps(self._drifts))

    def changes(self, world: str, run_id: str) -> Changes:
        """What a run has changed."""
        return self.database(world, run_id).changes()

    def forget(self, world: str, run_id: str) -> None:
        """Let go of a run's database; its file stays."""
        self._open.pop((world, run_id), None)

    def _base(self, world: str) -> Base:
        drift = self._drift(world)
        found = self._bases.get((world, drift))
        if found is None:
            module = importlib.import_module(f"support.learning_bed.{world}.world")
            found = self._bases[world, drift] = module.base(int(os.environ.get(SEED_VARIABLE, "0")), drift)
        return found

    def _drift(self, world: str) -> str | None:
        if self._folder is None:
            return self._drifts.get(world)
        try:
            kept: dict[str, str] = json.loads((self._folder / _DRIFT_FILE).read_text())
        except FileNotFoundError:
            return None
        return kept.get(world)

    def _file(self, world: str, run_id: str) -> Path | None:
        if self._folder is None:
            return None
        folder = self._folder / world
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{run_id}.json"


@functools.cache
def process_desk() -> Desk:
    """The desk of tools that a platform loaded by name, without being lent one."""
    folder = os.environ.get(STATE_VARIABLE)
    return Desk(folder=Path(folder) if folder else None)


def database_of(ctx: ToolContext, world: str) -> Database:
    """The database that a tool's call may read and write."""
    desk = ctx.resources.get(RESOURCE)
    return (desk if isinstance(desk, Desk) else process_desk()).database(world, ctx.run_id)


def _field(record: Record, name: str) -> Any:
    value: Any = record
    for part in name.split("__"):
        value = value.get(part) if isinstance(value, dict) else None
    return tuple(value) if isinstance(value, list) else value
