"""Requests that must not be served as they stand: how many an automation would take, and what it would do then."""

from __future__ import annotations

from collections import Counter

from benchmarks.parts.learning.replay import Replay
from benchmarks.parts.learning.rows import Row, Values
from support.learning_bed import beds
from support.learning_bed.bed import Bed
from support.learning_bed.served import play

from evolvent.events.language.learning.automation import needs_confirmation
from evolvent.events.language.learning.library import Served


def negatives(bed: Bed, replay: Replay, *, count: int, seed: int) -> Row:
    """Offer negatives to what was learnt; wrong is what changes a record that should have stayed."""
    edited = beds.negatives_of(bed, seed=seed, count=count)
    serving = replay.serving
    by_kind = Counter[str]()
    values: Values = {
        "negatives": len(edited.requests),
        "matched": 0,
        "handed_over": 0,
        "wrong": 0,
        "wrong_unlooked": 0,
    }
    examples: list[str] = []
    found = Counter[str]()
    for request in edited.requests:
        served = serving.library.serve(request.text, serving.scope, may_ignore=serving.may_ignore)
        if not isinstance(served, Served):
            continue
        found["matched"] += 1
        outcome = play(bed.world, serving.offline.desk, served, request.text)
        if outcome is None:
            found["handed_over"] += 1
        elif outcome[0]:
            found["wrong"] += 1
            by_kind[request.kind] += 1
            examples.append(request.text)
            found["wrong_unlooked"] += needs_confirmation(served.automations)
    details: Values = {f"wrong_{kind}": number for kind, number in sorted(by_kind.items())}
    return Row(
        "negatives",
        "offline",
        values | dict(found),
        profile=replay.profile.name,
        bed=bed.name,
        seed=seed,
        details=details | {f"example_{at}": text for at, text in enumerate(examples[:3])},
    )
