"""Pure: signatures without some of their runs, as if those had never been."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.learning.signature_records import MAX_EXAMPLES, MAX_SMALL_TALK, MAX_SUPPORTS
from evolvent.events.language.learning.signature_store import SignatureStore


@dataclass(slots=True)
class Left:
    """What is left: `store` holds the touched signatures without the runs.

    `gone` are those of which nothing is left, `full` those that had let go of older runs, which come back now.
    """

    store: SignatureStore = field(default_factory=SignatureStore)
    touched: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)

    def take(self, documents: Iterable[Mapping[str, Any]], run_ids: frozenset[str]) -> None:
        """Forget the runs in dumped signatures; those that none of them stands behind are left out."""
        for document in documents:
            behind = {str(backing[2]) for backing in document["backings"]}
            behind |= {key.rpartition("#")[0] for key in document["examples"]}
            if not behind & run_ids:
                continue
            own = SignatureStore()
            own.restore([document])
            for run_id in sorted(behind & run_ids):
                own.forget(run_id)
            self._keep(str(document["signature"]), own, document)

    def add_back(self, fresh: SignatureStore) -> None:
        """Take in what other runs say of the signatures that were full."""
        dumps = [dumped for name in sorted(self.full) if (dumped := fresh.dump(name)) is not None]
        self.store.restore(dumps)
        self.gone -= {name for name in self.gone if name in self.store}

    def _keep(self, name: str, own: SignatureStore, before: Mapping[str, Any]) -> None:
        self.touched.add(name)
        # What was at its bound may have been over it.
        if len(before["examples"]) >= min(MAX_EXAMPLES, MAX_SMALL_TALK) or len(before["backings"]) >= MAX_SUPPORTS:
            self.full.add(name)
        left = own.dump(name)
        if left is None or not left["examples"]:
            self.gone.add(name)
        else:
            self.store.restore([left])
