"""What a slot is for, told by where its value goes, and so which slots of two phrasings are the same.

`Scale {a} in {b} to {c}` and `{a} instances of {b} in {c}`: what becomes the argument `replicas` is the same in both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evolvent.events.language.learning.examples import Example
from evolvent.events.language.learning.samples import views_of
from evolvent.events.language.learning.values import key_of, leaves

Role = tuple[str, ...]
Roles = Mapping[str, Mapping[Role, float]]

_WEIGHT = {"argument": 4.0, "row": 3.0, "result": 1.0}
_MAX_EXAMPLES = 12
_LEAST = 0.5


def roles_of(examples: Sequence[Example]) -> Roles:
    """Return for each slot the places its value was found in, each with the share of the examples."""
    newest = examples[-_MAX_EXAMPLES:]
    counts: dict[str, Counter[Role]] = defaultdict(Counter)
    for example in newest:
        places = _places(example)
        for name, text in example.slots.items():
            texts = text if isinstance(text, tuple) else (text,)
            kind = "group" if isinstance(text, tuple) else "text"
            found = {
                role for each in texts for _, value in views_of(name, each) for role in places.get(_key(value), ())
            }
            counts[name].update({(kind, *role) for role in found} | {(kind,)})
    return {name: {role: count / len(newest) for role, count in seen.items()} for name, seen in counts.items()}


def aligned(reference: Roles, other: Roles) -> dict[str, str]:
    """Return the names of the other's slots among those of the reference; one that is nowhere gets its own."""
    scores = sorted(
        ((_score(theirs, ours), mine, own) for own, ours in other.items() for mine, theirs in reference.items()),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    names: dict[str, str] = {}
    for score, mine, own in scores:
        if score > 0 and own not in names and mine not in names.values():
            names[own] = mine
    for own in sorted(other):
        names.setdefault(own, f"{own}_own")
    return names


def _score(left: Mapping[Role, float], right: Mapping[Role, float]) -> float:
    return sum(
        _WEIGHT[role[1]] * min(share, right[role])
        for role, share in left.items()
        if len(role) > 1 and min(share, right.get(role, 0.0)) >= _LEAST
    )


def _places(example: Example) -> dict[Any, set[Role]]:
    places: dict[Any, set[Role]] = defaultdict(set)
    used: dict[Any, set[Role]] = defaultdict(set)
    for call in example.calls:
        for path, value in leaves(dict(call.arguments), limit=60):
            role = (call.step, *_generic(path))
            used[_key(value)].add(role)
            places[_key(value)].add(("argument", *role))
    for call in (*example.calls, *example.context):
        for path, value in leaves(call.result, limit=400):
            places[_key(value)].add(("result", call.step, *_generic(path)))
        for row in _rows(call.result):
            fields = list(leaves(row, limit=40))
            wanted = {role for _, value in fields for role in used.get(_key(value), ())}
            for path, value in fields:
                places[_key(value)].update(("row", *role, "|", *_generic(path)) for role in wanted)
    return places


def _rows(value: Any, depth: int = 0) -> Iterator[Any]:
    if depth > 4:
        return
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(child, dict):
            yield child
        yield from _rows(child, depth + 1)


def _generic(path: Sequence[str | int]) -> tuple[str, ...]:
    return tuple("*" if isinstance(step, int) else step for step in path)


def _key(value: object) -> Any:
    return key_of(value, loose=True)
