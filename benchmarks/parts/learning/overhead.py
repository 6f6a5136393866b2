"""What learning costs: matching among many templates, their memory, and the learner's time for each new run."""

from __future__ import annotations

import gc
import random
import string
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from benchmarks.parts.learning.replay import Replay
from benchmarks.parts.learning.rows import Row
from support.learning_bed.offline import START

from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.learner import LearningRules, propose
from evolvent.events.language.learning.matching import Match, MatchIndex, build_index, match
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import Element, Literal, Template, compile_small_talk, parse_template
from evolvent.events.language.learning.traces import Trace
from evolvent.events.language.tools import ToolSpec
from evolvent.improvement.promotion import GROWTH

_SCOPE = ("default", "many")
_WORDS = 400
_BATCH = 200
_LEAST = 3


def matching(replays: Sequence[Replay], sizes: Sequence[int], *, seed: int, calls: int = 4000) -> Iterator[Row]:
    """Match the beds' requests among so many templates: those learnt, and copies with some of their words exchanged.

    All are of one scope; each copy has up to three words of a small vocabulary in place of its own, so that a word
    leads to many templates.
    """
    learnt = [
        replace(parse_template(proposal.automation.template), scope=_SCOPE)
        for replay in replays
        for proposal in replay.serving.proposals.values()
        if proposal.automation.template
    ]
    learnt += [
        replace(template, scope=_SCOPE)
        for replay in replays
        for template in compile_small_talk(replay.serving.store, replay.serving.scope)
    ]
    texts = [request.text for replay in replays for request in replay.bed.requests]
    draw = random.Random(f"match:{seed}")
    for size in sizes if learnt else ():
        templates = list(_reworded(learnt, size, draw))
        gc.collect()
        tracemalloc.start()
        index = build_index(templates)
        index_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        own_bytes = _bytes_of(templates)
        asked = [draw.choice(texts) for _ in range(calls)]
        found = sum(isinstance(match(index, text, _SCOPE), Match) for text in asked)
        took = sorted(_matched_ns(index, text) for text in asked)
        yield Row(
            "match",
            "offline",
            {
                "templates": size,
                "calls": calls,
                "matched": found,
                "p50_ms": round(took[len(took) // 2] / 1e6, 4),
                "p99_ms": round(took[len(took) * 99 // 100] / 1e6, 4),
                "max_ms": round(took[-1] / 1e6, 4),
                "bytes_per_template": own_bytes,
                "index_bytes_per_template": index_bytes // size,
            },
            seed=seed,
        )


def _matched_ns(index: MatchIndex, text: str) -> int:
    """How long one look-up takes: the quicker of two, as other processes of the machine are not what is measured."""
    times = []
    for _ in range(2):
        began = time.perf_counter_ns()
        match(index, text, _SCOPE)
        times.append(time.perf_counter_ns() - began)
    return min(times)


def _bytes_of(templates: Sequence[Template]) -> int:
    """Bytes of one template as it lies in memory, by building them all again."""
    documents = [replace(each) for each in templates[:0]]
    gc.collect()
    tracemalloc.start()
    documents += [_copied(each) for each in templates]
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size // max(1, len(documents))


def _copied(template: Template) -> Template:
    """The template with elements and words of its own; types of slots are shared as they are when parsed alike."""
    elements = tuple(replace(each) for each in template.elements)
    return replace(template, elements=elements, skeleton="".join(list(template.skeleton)))


def _reworded(learnt: Sequence[Template], size: int, draw: random.Random) -> Iterator[Template]:
    vocabulary = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9))) for _ in range(_WORDS)]
    yield from learnt[:size]
    for number in range(len(learnt), size):
        source = learnt[number % len(learnt)]
        places = [at for at, each in enumerate(source.elements) if isinstance(each, Literal) and each.word.isalpha()]
        elements: list[Element] = list(source.elements)
        for place in draw.sample(places, min(3, len(places))):
            elements[place] = Literal(draw.choice(vocabulary))
        name = f"{source.template_id[:20]}{number:012d}"
        skeleton = " ".join(each.word if isinstance(each, Literal) else "{}" for each in elements)
        yield replace(source, template_id=name, signature=name, elements=tuple(elements), skeleton=skeleton)


def learner(replays: Sequence[Replay], sizes: Sequence[int], *, seed: int, scopes: int) -> Iterator[Row]:
    """Take in so many runs, some hundred at a time, learning after each batch; what a new run costs at each size.

    The runs are those of the beds, drawn by seed, each time of another run, day, principal and session, and of one of
    `scopes` agents: so there are as many signatures as all beds have, times that.
    """
    pool = [run for replay in replays for run in _traces(replay)]
    tools = {name: tool.spec for replay in replays for name, tool in replay.bed.world.tools.items()}
    draw = random.Random(f"learner:{seed}")
    store = SignatureStore()
    rules = LearningRules(min_principals_writes=1)
    taken = _Taken()
    for size in sizes:
        while taken.runs < size:
            traces = [_redrawn(draw, pool, taken.runs + at, scopes) for at in range(min(_BATCH, size - taken.runs))]
            _learn(store, traces, rules, tools, taken)
        yield Row(
            "learner",
            "offline",
            {
                "runs": size,
                "signatures": len(store),
                "add_ms_per_run": round(taken.add_last / taken.batch * 1e3, 3),
                "learn_ms_per_run": round(taken.learn_last / taken.batch * 1e3, 3),
                "cpu_ms_per_run": round((taken.add_last + taken.learn_last) / taken.batch * 1e3, 3),
                "cpu_ms_per_run_amortised": round((taken.add + taken.learn) / taken.runs * 1e3, 3),
                "proposed": taken.proposed,
            },
            seed=seed,
            details={"scopes": scopes, "runs_per_pass": _BATCH},
        )


class _Taken:
    """Seconds and counts, in all and of the last batch."""

    def __init__(self) -> None:
        self.runs = self.batch = self.proposed = 0
        self.add = self.learn = self.add_last = self.learn_last = 0.0
        self.tried: dict[str, int] = {}

    def is_worth_trying(self, store: SignatureStore, name: str) -> bool:
        """Say whether a signature grew enough to be looked at again: the platform's own rule."""
        support = store.support(name).runs
        if support < max(_LEAST, GROWTH * self.tried.get(name, 0)):
            return False
        self.tried[name] = support
        return True


def _learn(
    store: SignatureStore, traces: Sequence[Trace], rules: LearningRules, tools: dict[str, ToolSpec], taken: _Taken
) -> None:
    began = time.process_time()
    for trace in traces:
        store.add(trace)
    middle = time.process_time()
    now = traces[-1].ended_at or START
    due = [name for name in store.take_dirty() if name in store and not store[name].is_filler]
    found = [propose(store, name, rules, now=now, tools=tools) for name in due if taken.is_worth_trying(store, name)]
    taken.add_last, taken.learn_last = middle - began, time.process_time() - middle
    taken.add += taken.add_last
    taken.learn += taken.learn_last
    taken.runs += len(traces)
    taken.batch = len(traces)
    taken.proposed += sum(not isinstance(each, NotLearnt) for each in found)


def _traces(replay: Replay) -> list[Trace]:
    return [replay.serving.offline.run(request).trace for request in replay.bed.requests]


def _redrawn(draw: random.Random, pool: Sequence[Trace], number: int, scopes: int) -> Trace:
    at = START + timedelta(seconds=20 * number)
    return replace(
        draw.choice(pool),
        run_id=f"r{number:09d}",
        agent_id=f"agent_{draw.randrange(scopes)}",
        principal=f"user_{draw.randrange(500)}",
        session_id=f"s{number:09d}",
        started_at=at,
        ended_at=at + timedelta(seconds=10),
    )
