"""Induction on public task data: are the writes of a run that was left out predicted exactly?"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.learning_runner import run

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.compilation import Pattern, compile_automation
from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.induced import Induced
from evolvent.events.language.learning.induction import induce
from evolvent.events.language.learning.instantiation import instantiate, request_params
from evolvent.events.language.learning.links import learn_links
from evolvent.events.language.learning.matching import Match, MatchIndex, build_index, match
from evolvent.events.language.learning.placement import NotServed
from evolvent.events.language.learning.retro import retrospect
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.signatures import extract
from evolvent.events.language.learning.templates import as_json, compile_small_talk, compile_template
from evolvent.events.language.learning.traces import Trace, TracedCall
from evolvent.events.language.tools import Effect

BESIDE = Path(__file__).parents[4] / "shared" / "data"
DATA = Path(os.environ.get("EVOLVENT_DATA", BESIDE)) / "retail" / "requests.jsonl.gz"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the public retail data is not on this machine")

READS = ("find_", "get_", "list_", "calculate")
SCOPE = ("default", "")


@cache
def requests() -> tuple[dict[str, Any], ...]:
    with gzip.open(DATA, "rt") as lines:
        return tuple(json.loads(line) for line in lines)


def is_read(name: str) -> bool:
    return name.startswith(READS)


def trace(request: dict[str, Any]) -> Trace:
    calls = tuple(
        TracedCall(c["name"], c["arguments"], c["result"], Effect.READ if is_read(c["name"]) else Effect.KEYED)
        for c in request["scripted_trace"]
    )
    return Trace(request["id"], request["request"], calls, principal=request["user_id"], session_id=request["id"])


def test_left_out_runs_are_predicted_exactly_or_not_at_all() -> None:
    groups: dict[str, list[Clause]] = defaultdict(list)
    for request in requests():
        for clause in extract(trace(request)).clauses:
            if not clause.is_filler:
                groups[clause.signature].append(clause)
    runs = agreed = missed = 0
    for clauses in groups.values():
        report = retrospect([clause.example for clause in clauses])
        runs += report.runs
        agreed += len(report.agreed)
        missed += len(report.misses)
    assert runs > 500
    assert agreed / (agreed + missed) >= 0.995
    assert (agreed + missed) / runs >= 0.9


def learnt(known: tuple[dict[str, Any], ...]) -> tuple[dict[str, Automation], MatchIndex]:
    store = SignatureStore()
    for request in known:
        store.add(trace(request))
    clauses = {signature: store.clauses(signature) for signature in store.signatures(SCOPE)}
    examples = {signature: [clause.example for clause in found] for signature, found in clauses.items()}
    automations: dict[str, Automation] = {}
    templates = []
    for signature, found in clauses.items():
        induced = induce(examples[signature])
        if not isinstance(induced, Induced):
            continue
        links = learn_links(examples[signature], {name: e for name, e in examples.items() if name != signature})
        template = compile_template(found)
        pattern = Pattern(signature, as_json(template), links=links)
        automation = compile_automation(pattern, examples[signature], induced)
        if isinstance(automation, Automation):
            automations[template.template_id] = automation
            templates.append(template)
    return automations, build_index([*templates, *compile_small_talk(store, SCOPE)])


def serve(request: dict[str, Any], message: str, automations: dict[str, Automation], index: MatchIndex) -> str:
    found = match(index, message, SCOPE)
    if not isinstance(found, Match):
        return "abstained"
    parts = [(automations[part.template_id], part.slots) for part in found.parts]
    workflow = instantiate(parts, agent_id="desk")
    if isinstance(workflow, NotServed):
        return "refused"
    results = {(c["name"], json.dumps(c["arguments"], sort_keys=True)): c["result"] for c in request["scripted_trace"]}
    ran = run(
        workflow, request_params(parts), lambda n, a: results.get((n, json.dumps(a, sort_keys=True)), "Error: no")
    )
    writes = [call for call in ran.calls if not is_read(call[0])]
    if ran.handed_over is not None:
        return "written in part" if writes else "handed over"
    gold = [(each["name"], each["arguments"]) for each in request["gold_actions"] if not is_read(each["name"])]
    return "right" if writes == gold else "wrong"


def test_half_of_the_requests_teach_to_serve_the_other_half() -> None:
    automations, index = learnt(requests()[:125])
    ends = Counter(serve(each, each["request"], automations, index) for each in requests()[125:])
    assert ends["right"] >= 0.9 * 125, ends
    assert not ends["wrong"] + ends["written in part"], ends


def test_the_orders_of_others_are_never_touched() -> None:
    automations, index = learnt(requests()[:125])
    held = requests()[125:]
    ends: Counter[str] = Counter()
    for mine, other in pairwise(held):
        who, _, _ = mine["request"].partition("You are")
        _, _, what = other["request"].partition("You are")
        if mine["user_id"] == other["user_id"]:
            continue
        both = {**other, "scripted_trace": [mine["scripted_trace"][0], *other["scripted_trace"]]}
        ends[serve(both, f"{who}You are{what}", automations, index)] += 1
        ends[serve(other, f"You are{what}", automations, index)] += 1
    assert not ends["right"] + ends["wrong"] + ends["written in part"], ends
    assert ends["handed over"] > 50, ends
    assert ends["abstained"] + ends["refused"] > 50, ends
