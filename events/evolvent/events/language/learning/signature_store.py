"""All signatures seen so far: examples, support and small talk, built run by run in any order.

Bounded and a semilattice: of each signature the newest examples and supports are kept, so that stores built from
the same runs in any order, in parts, or twice, are equal. Nothing is proven here: support only nominates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.signature_records import (
    Backing,
    Signature,
    Support,
    blank,
    bound,
    by_time,
    dump,
    keep_backing,
    keep_example,
    parse_signature,
    without,
)
from evolvent.events.language.learning.signatures import extract, writes_of
from evolvent.events.language.learning.traces import Trace

EXTRA_SHARE = 0.7
"""A read that nothing consumed is part of the work if this share of the examples did it; it may be a check."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignatureStore:
    """Signatures by their name; `dirty` are those that changed since they were last taken."""

    def __init__(self) -> None:
        self._signatures: dict[str, Signature] = {}
        self._by_skeleton: dict[tuple[tuple[str, str], str], set[str]] = {}
        self._by_work: dict[str, set[str]] = {}
        self._dirty: set[str] = set()

    def __len__(self) -> int:
        return len(self._signatures)

    def __contains__(self, signature: object) -> bool:
        return signature in self._signatures

    def __getitem__(self, signature: str) -> Signature:
        return self._signatures[signature]

    def signatures(self, scope: tuple[str, str] | None = None) -> list[str]:
        """Return the names of all signatures that do something, of one scope or all, in a fixed order."""
        return sorted(
            name
            for name, each in self._signatures.items()
            if not each.is_filler and (scope is None or each.scope == scope)
        )

    def small_talk(self, scope: tuple[str, str]) -> list[str]:
        """Return the names of the signatures of small talk of a scope."""
        return sorted(name for name, each in self._signatures.items() if each.is_filler and each.scope == scope)

    def add(self, trace: Trace) -> frozenset[str]:
        """Learn a run; return the signatures it changed. A run that failed or was no live one teaches nothing."""
        if not trace.is_live or not (trace.succeeded or trace.outcome is False):
            return frozenset()
        clauses = extract(trace).clauses
        if not any(not clause.is_filler for clause in clauses):
            return frozenset()
        at = (trace.ended_at or trace.started_at or _EPOCH).astimezone(UTC).isoformat()
        backing = Backing(trace.outcome is False, at, trace.run_id, trace.principal, _session(trace))
        counts: dict[str, int] = {}
        changed: set[str] = set()
        for clause in clauses:
            number = counts[clause.signature] = counts.get(clause.signature, 0) + 1
            if self._learn(clause, f"{trace.run_id}#{number}", backing):
                changed.add(clause.signature)
        self._dirty |= changed
        return frozenset(changed)

    def merge(self, other: SignatureStore) -> None:
        """Take in what another store knows; the same as adding all its runs here."""
        for name, theirs in other._signatures.items():
            mine = self._own(name, theirs)
            before = (dict(mine.examples), dict(mine.backings))
            for key, (at, clause) in theirs.examples.items():
                keep_example(mine, key, at, clause)
            for backing in theirs.backings.values():
                keep_backing(mine, backing)
            bound(mine)
            if before != (mine.examples, mine.backings):
                self._dirty.add(name)

    def take_dirty(self) -> list[str]:
        """Return the signatures that changed since this was last asked, and forget that they did."""
        dirty = sorted(name for name in self._dirty if name in self._signatures)
        self._dirty.clear()
        return dirty

    def forget(self, run_id: str) -> frozenset[str]:
        """Unlearn a run; return the signatures it stood behind."""
        touched: set[str] = set()
        for name, each in list(self._signatures.items()):
            keys = [key for key in each.examples if key.rpartition("#")[0] == run_id]
            for key in keys:
                del each.examples[key]
            if each.backings.pop(run_id, None) is not None or keys:
                touched.add(name)
            if not each.backings:
                del self._signatures[name]
                self._by_skeleton[each.scope, each.skeleton].discard(name)
                self._by_work[each.work].discard(name)
        self._dirty |= touched
        return frozenset(touched)

    def clauses(self, signature: str) -> tuple[Clause, ...]:
        """Return a signature's clauses, oldest first, with the same steps in all; disputed ones stay marked."""
        kept = [clause for _, (_, clause) in sorted(self._signatures[signature].examples.items(), key=by_time)]
        counts: dict[str, int] = {}
        for clause in kept:
            for step in clause.extras:
                counts[step] = counts.get(step, 0) + 1
        usual = {step for step, count in counts.items() if count >= EXTRA_SHARE * len(kept)}
        return tuple(without(clause, usual) for clause in kept if usual <= set(clause.extras))

    def support(self, signature: str, since: datetime | None = None) -> Support:
        """Count who stands behind a signature, in a window of time or ever."""
        return self.support_of((signature,), since)

    def support_of(self, signatures: Iterable[str], since: datetime | None = None) -> Support:
        """Count who stands behind any of several signatures; a run counts once."""
        start = "" if since is None else since.astimezone(UTC).isoformat()
        every = (each for name in signatures for each in self._signatures[name].backings.values())
        backings = {each.run_id: each for each in every if each.at >= start}.values()
        good = [each for each in backings if not each.is_disputed]
        return Support(
            runs=len(good),
            principals=len({each.principal for each in good}),
            sessions=len({each.session for each in good}),
            disputed=len(backings) - len(good),
        )

    def family(self, signature: str) -> tuple[str, ...]:
        """Return the signatures that do the same calls, in other words or these."""
        return tuple(sorted(self._by_work[self._signatures[signature].work]))

    def rivals(self, signature: str) -> list[str]:
        """Return signatures with the same words that did something else, or nothing."""
        mine = self._signatures[signature]
        return sorted(self._by_skeleton[mine.scope, mine.skeleton] - {signature})

    def agreement(self, signature: str) -> float:
        """Return the share of runs with these words that wrote the same; below 1 the words do not say all.

        Runs in which other small talk told what to do (the signature's companions were missing) do not count.
        """
        mine = self._signatures[signature]
        companions = mine.companions
        same = total = 0
        for name in self._by_skeleton[mine.scope, mine.skeleton]:
            other = self._signatures[name]
            if not companions <= other.small_talk and name != signature:
                continue
            runs = sum(not each.is_disputed for each in other.backings.values())
            total += runs
            same += runs if writes_of(other.shape) == writes_of(mine.shape) else 0
        return same / total if total else 0.0

    def dump(self, signature: str) -> dict[str, Any] | None:
        """Return one signature as JSON data, to be stored when it is dirty; None if it is gone."""
        return dump(self._signatures[signature]) if signature in self._signatures else None

    def restore(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Take in dumped signatures; what is known of them already stays."""
        other = SignatureStore()
        for document in documents:
            if document["examples"]:
                mine = parse_signature(document)
                other._own(mine.signature, mine).examples = mine.examples
                other._signatures[mine.signature].backings = mine.backings
        dirty = set(self._dirty)
        self.merge(other)
        self._dirty = dirty

    def to_json(self) -> dict[str, Any]:
        """Return the store as JSON data; equal stores give equal data."""
        signatures = [dump(each) for _, each in sorted(self._signatures.items())]
        return {"signatures": signatures, "dirty": sorted(self._dirty)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SignatureStore:
        """Read a store back."""
        store = cls()
        store.restore(document["signatures"])
        store._dirty = set(document["dirty"])
        return store

    def pairs(self, first: str, second: str) -> tuple[tuple[Clause, Clause], ...]:
        """Return the examples of two signatures side by side that are of one run: what holds between them?"""
        others: dict[str, list[Clause]] = {}
        for clause in self.clauses(second):
            others.setdefault(clause.example.run_id, []).append(clause)
        return tuple(
            (clause, other)
            for clause in self.clauses(first)
            for other in others.get(clause.example.run_id, ())
            if other is not clause
        )

    def _own(self, name: str, like: Signature) -> Signature:
        mine = self._signatures.get(name)
        if mine is None:
            mine = replace(like, examples={}, backings={})
            self._signatures[name] = mine
            self._by_skeleton.setdefault((mine.scope, mine.skeleton), set()).add(name)
            self._by_work.setdefault(mine.work, set()).add(name)
        return mine

    def _learn(self, clause: Clause, key: str, backing: Backing) -> bool:
        mine = self._own(clause.signature, blank(clause))
        changed = keep_example(mine, key, backing.at, clause)
        changed = keep_backing(mine, backing) or changed
        bound(mine)
        return changed


def _session(trace: Trace) -> str:
    return trace.session_id or f"principal:{trace.user_id or trace.principal}"
