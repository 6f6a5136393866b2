"""The signatures that the learner holds in memory: never more than it may, and never others than are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.storage.signatures import SignatureRecord, SignatureRows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignatureMemory:
    """A part of the stored signatures. What is in it equals its rows as of commit `commits`."""

    def __init__(self, rows: SignatureRows, *, most_examples: int) -> None:
        self._rows = rows
        self._most_examples = most_examples
        self._asked: set[str] = set()
        self._examples: dict[str, int] = {}
        self.store = SignatureStore()
        self.commits = -1

    def stand_at(self, commits: int) -> None:
        """Forget everything where somebody else wrote since; and what is too much."""
        if commits != self.commits or sum(self._examples.values()) > self._most_examples:
            self.forget()
        self.commits = commits

    def forget(self) -> None:
        """Hold nothing."""
        self.store, self._asked, self._examples, self.commits = SignatureStore(), set(), {}, -1

    async def load(self, names: Iterable[str]) -> SignatureStore:
        """Return the store, with these signatures in it as far as they exist."""
        missing = sorted(set(names) - self._asked)
        documents = await self._rows.documents(missing)
        if documents:
            await asyncio.to_thread(self.store.restore, documents)
        self._asked |= set(missing)
        self._measure(missing)
        return self.store

    def take_in(self, fresh: SignatureStore) -> list[SignatureRecord]:
        """Learn what another store learnt, and return what has to be stored. Its signatures were loaded before."""
        self.store.merge(fresh)
        dirty = self.store.take_dirty()
        self._measure(dirty)
        return [record_of(self.store, name) for name in dirty]

    def _measure(self, names: Iterable[str]) -> None:
        self._examples |= {name: len(self.store[name].examples) for name in names if name in self.store}


def record_of(store: SignatureStore, name: str) -> SignatureRecord:
    """Return a signature as it is stored."""
    signature, support = store[name], store.support(name)
    latest = max((each.at for each in signature.backings.values()), default="")
    return SignatureRecord(
        signature=name,
        goal=signature.scope[0],
        agent_id=signature.scope[1],
        words=content_hash([list(signature.scope), signature.skeleton]),
        work=signature.work,
        skeleton=signature.skeleton,
        shape=signature.shape,
        is_filler=signature.is_filler,
        support=support.runs,
        principals=support.principals,
        sessions=support.sessions,
        disputed=support.disputed,
        last_at=datetime.fromisoformat(latest) if latest else _EPOCH,
        document=store.dump(name) or {},
    )
