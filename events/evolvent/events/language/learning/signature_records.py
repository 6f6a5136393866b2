"""What a store keeps of each signature: examples, who stands behind them, and how many is enough to be kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.examples import Clause

MAX_EXAMPLES = 64
MAX_SMALL_TALK = 512
MAX_SUPPORTS = 1024

_CLAUSE = TypeAdapter(Clause)


@dataclass(frozen=True, slots=True)
class Support:
    """Who stands behind a signature: runs that succeeded live, undisputed; distinct principals and sessions."""

    runs: int = 0
    principals: int = 0
    sessions: int = 0
    disputed: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Backing:
    """A run's support for a signature. Ordered by what is kept when there are too many."""

    is_disputed: bool
    at: str
    run_id: str
    principal: str
    session: str


@dataclass(slots=True)
class Signature:
    """What is known of one signature. `examples` are keyed by run and place in it."""

    signature: str
    skeleton: str
    shape: str
    tools: tuple[str, ...]
    scope: tuple[str, str]
    is_filler: bool
    work: str = ""
    """What it does, whatever the words: a hash of whose it is, the calls' shape and their schemas."""
    examples: dict[str, tuple[str, Clause]] = field(default_factory=dict)
    backings: dict[str, Backing] = field(default_factory=dict)

    @property
    def companions(self) -> frozenset[str]:
        """Small talk that stood beside it in every run: without it the words may mean something else."""
        sets = [frozenset(clause.beside) for _, clause in self.examples.values()]
        return frozenset.intersection(*sets) if sets else frozenset()

    @property
    def small_talk(self) -> frozenset[str]:
        """Small talk that was seen beside it."""
        return frozenset(skeleton for _, clause in self.examples.values() for skeleton in clause.beside)


def blank(clause: Clause) -> Signature:
    """Return a signature like the clause's, of which nothing is known yet."""
    called = sorted({(c.tool, c.schema_hash) for c in clause.example.calls if c.step not in clause.extras})
    return Signature(
        clause.signature,
        clause.skeleton,
        clause.shape,
        clause.tools,
        clause.scope,
        clause.is_filler,
        content_hash([list(clause.scope), clause.shape, called]),
    )


def keep_example(mine: Signature, key: str, at: str, clause: Clause) -> bool:
    """Keep an example; of two of one run the disputed one counts, for ever."""
    known = mine.examples.get(key)
    if known is not None and (known[1].example.is_disputed or not clause.example.is_disputed):
        return False
    mine.examples[key] = (at, clause)
    return True


def keep_backing(mine: Signature, backing: Backing) -> bool:
    """Keep a run's support; that it was disputed counts for ever."""
    known = mine.backings.get(backing.run_id)
    if known is not None and (known.is_disputed or not backing.is_disputed):
        return False
    mine.backings[backing.run_id] = backing
    return True


def bound(mine: Signature) -> None:
    """Let go of the oldest, whatever order they came in; disputed ones last."""
    while len(mine.examples) > (MAX_SMALL_TALK if mine.is_filler else MAX_EXAMPLES):
        del mine.examples[min(mine.examples, key=lambda key: _rank(key, mine.examples[key]))]
    while len(mine.backings) > MAX_SUPPORTS:
        del mine.backings[min(mine.backings.values()).run_id]


def _rank(key: str, example: tuple[str, Clause]) -> tuple[bool, str, str]:
    return example[1].example.is_disputed, example[0], key


def by_time(item: tuple[str, tuple[str, Clause]]) -> tuple[str, str]:
    """Sort stored examples, oldest first."""
    return item[1][0], item[0]


def without(clause: Clause, usual: Iterable[str]) -> Clause:
    """Take out the steps that only ride along, unless it is usual to make them."""
    dropped = set(clause.extras) - set(usual)
    if not dropped:
        return clause
    calls = tuple(call for call in clause.example.calls if call.step not in dropped)
    return replace(clause, example=replace(clause.example, calls=calls), extras=tuple(sorted(usual)))


def dump(mine: Signature) -> dict[str, Any]:
    """Return a signature as JSON data: a row of a table, if you like."""
    return {
        "signature": mine.signature,
        "examples": {
            key: [at, _CLAUSE.dump_python(clause, mode="json")] for key, (at, clause) in sorted(mine.examples.items())
        },
        "backings": [
            [one.is_disputed, one.at, one.run_id, one.principal, one.session] for one in sorted(mine.backings.values())
        ],
    }


def parse_signature(document: Mapping[str, Any]) -> Signature:
    """Read a signature back; one without an example never was."""
    examples = {key: (at, _CLAUSE.validate_python(clause)) for key, (at, clause) in document["examples"].items()}
    mine = blank(next(iter(examples.values()))[1])
    mine.examples = examples
    mine.backings = {values[2]: Backing(*values) for values in document["backings"]}
    return mine
