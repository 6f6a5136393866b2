"""From signatures to proposals: nominated by support, induced, compiled, and tried on past runs that they never saw.

    signature ─support, distinct principals and sessions▶ nominated ─with other phrasings of the same work▶ induced
              ─leave-one-out over past runs▶ verified ─static checks▶ compiled

Frequency nominates and nothing more: whatever is not clear on the way is not learnt, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evolvent.events.language.learning.automation import Automation, AutomationSlot
from evolvent.events.language.learning.compilation import Pattern, compile_automation
from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.families import (
    Kind,
    Phrasing,
    answers_of,
    explains,
    is_foreseen,
    kinds_of,
    renamed,
    with_own_guards,
)
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.links import Links, learn_links
from evolvent.events.language.learning.proofs import proven_slots
from evolvent.events.language.learning.retro import RetroReport
from evolvent.events.language.learning.signature_records import Support
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import as_json, compile_template
from evolvent.events.language.tools import ToolSpec

GROWTH, FEW = 1.5, 8
"""A family is learnt anew when so many times the runs show it as when it was last tried; one of few runs, with each."""


@dataclass(frozen=True, slots=True)
class LearningRules:
    """What it takes to be nominated and verified. Shares are from 0 to 1."""

    min_support: int = 3
    window: timedelta = timedelta(hours=24)
    min_principals_reads: int = 1
    min_principals_writes: int = 2
    min_agreement: float = 0.9
    """Share of the runs with these words that did the same."""
    min_precision: float = 0.9
    """Share of the past runs whose writes a program that never saw them predicts exactly, of those it predicts."""
    min_phrasing: int = 2
    """Runs of a phrasing whose work other phrasings have taught already."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A verified automation, and what speaks for it."""

    automation: Automation
    support: Support
    retro: RetroReport


@dataclass(slots=True)
class Studied:
    """What was learnt of one family, and from how many runs of each of its phrasings."""

    kinds: list[Kind] = field(default_factory=list)
    left: dict[str, NotLearnt] = field(default_factory=dict)
    runs: int = 0
    tried: dict[str, int] = field(default_factory=dict)


Memory = dict[str, Studied]
"""What a learner remembers between two rounds. It may forget all of it at any time: then it only works more."""


def nominate(store: SignatureStore, signature: str, rules: LearningRules, *, now: datetime) -> Support | NotLearnt:
    """Return the support of a signature by all phrasings of its work, or why it is not enough."""
    family = store.family(signature)
    support = store.support_of(family, now - rules.window)
    own = store.support(signature, now - rules.window)
    if support.runs < rules.min_support or own.runs < min(rules.min_phrasing, rules.min_support):
        hours = rules.window.total_seconds() / 3600
        return NotLearnt(f"{own.runs} successful runs in {hours:g} h; {rules.min_support} are wanted.")
    is_writing = any(call.is_write for clause in store.clauses(signature) for call in clause.example.calls)
    wanted = rules.min_principals_writes if is_writing else rules.min_principals_reads
    if support.principals < wanted:
        return NotLearnt(f"{support.principals} distinct principals stand behind it; {wanted} are wanted.")
    if is_writing and support.sessions < min(2, wanted):
        return NotLearnt("It writes, and only one session stands behind it.")
    if not is_writing and any(_outdoes(store, rival, signature) for rival in store.rivals(signature)):
        return NotLearnt("The same words came to other reads in more runs.")
    agreement = store.agreement(signature)
    if agreement < rules.min_agreement:
        return NotLearnt(f"The same words came to other work in {1 - agreement:.0%} of the runs.")
    return support


def _outdoes(store: SignatureStore, rival: str, signature: str) -> bool:
    """Say whether of two that read for the same words another one is the more frequent."""
    mine, theirs = store.support(signature).runs, store.support(rival).runs
    return not store[rival].is_filler and (theirs, rival) > (mine, signature)


def propose(
    store: SignatureStore,
    signature: str,
    rules: LearningRules,
    *,
    now: datetime,
    tools: Mapping[str, ToolSpec] | None = None,
) -> Proposal | NotLearnt:
    """Return the automation that a signature's runs teach, or why there is none."""
    return propose_all(store, [signature], rules, now=now, tools=tools)[signature]


def propose_all(
    store: SignatureStore,
    signatures: Iterable[str],
    rules: LearningRules,
    *,
    now: datetime,
    tools: Mapping[str, ToolSpec] | None = None,
    memory: Memory | None = None,
) -> dict[str, Proposal | NotLearnt]:
    """Return what the runs of signatures teach, or why nothing.

    With a memory, a signature that has hardly grown since it was last tried is left out: what was said of it stands.
    """
    memory = {} if memory is None else memory
    found: dict[str, Proposal | NotLearnt] = {}
    touched: dict[str, list[str]] = {}
    for signature in sorted(set(signatures)):
        if signature in store and not store[signature].is_filler:
            touched.setdefault(store[signature].work, []).append(signature)
    for work, names in sorted(touched.items()):
        studied = memory.setdefault(work, Studied())
        due = [name for name in names if _is_due(store, name, studied)]
        fit: list[str] = []
        for name in due:
            support = nominate(store, name, rules, now=now)
            if isinstance(support, NotLearnt):
                found[name] = support
            else:
                fit.append(name)
        if fit:
            found.update(_taught(store, studied, fit, rules, now=now, tools=tools))
    return found


def _is_due(store: SignatureStore, signature: str, studied: Studied) -> bool:
    runs = store.support(signature).runs
    disputed = store.support(signature).disputed
    grown = runs + 1000 * disputed
    tried = studied.tried.get(signature, 0)
    return _has_grown(grown, tried) or (grown > tried and _is_news(store, signature, studied))


def _is_news(store: SignatureStore, signature: str, studied: Studied) -> bool:
    """Say whether the newest run is none that the program of its kind foresaw: a guard may be too narrow."""
    kind = next((each for each in studied.kinds if signature in each.members), None)
    if kind is None:
        return False
    example = renamed(store.clauses(signature)[-1].example, kind.members[signature].names)
    return not is_foreseen(kind.induced, example)


def _has_grown(runs: int, known: int) -> bool:
    """Say whether so many runs are worth another try: of few, every one tells an accident from a rule."""
    return runs > known if known < FEW else runs >= GROWTH * known


def _taught(
    store: SignatureStore,
    studied: Studied,
    names: list[str],
    rules: LearningRules,
    *,
    now: datetime,
    tools: Mapping[str, ToolSpec] | None,
) -> dict[str, Proposal | NotLearnt]:
    family = store.family(names[0])
    runs = sum(store.support(name).runs + 1000 * store.support(name).disputed for name in family)
    clauses = {name: _newest_agent(store.clauses(name)) for name in family}
    clauses = {name: each for name, each in clauses.items() if each}
    wanted = set(names)
    news = any(_is_news(store, name, studied) for name in names)
    if _has_grown(runs, studied.runs) or not studied.kinds or news:
        studied.kinds, studied.left = kinds_of(clauses, rules.min_support)
        studied.runs = runs
        wanted = {name for name in family if not isinstance(nominate(store, name, rules, now=now), NotLearnt)}
    found: dict[str, Proposal | NotLearnt] = {}
    for name in sorted(wanted):
        studied.tried[name] = store.support(name).runs + 1000 * store.support(name).disputed
        kind = next((each for each in studied.kinds if name in each.members or each.joins(name, clauses[name])), None)
        if kind is None:
            found[name] = studied.left.get(name) or NotLearnt("No program explains what its runs did.")
        else:
            support = store.support_of(tuple(kind.members), now - rules.window)
            found[name] = _proposed(store, kind, kind.members[name], rules, support=support, tools=tools)
    return found


def _proposed(
    store: SignatureStore,
    kind: Kind,
    phrasing: Phrasing,
    rules: LearningRules,
    *,
    support: Support,
    tools: Mapping[str, ToolSpec] | None,
) -> Proposal | NotLearnt:
    why = _unverified(kind.retro, rules) or _unlike(kind, phrasing, rules)
    if why is not None:
        return NotLearnt(why)
    induced, clauses = with_own_guards(kind.induced, phrasing), phrasing.clauses
    slots = {phrasing.names.get(name, name) for clause in clauses for name in clause.example.slots}
    template = compile_template(
        clauses,
        names=phrasing.names,
        proven=proven_slots(induced),
        others=[held for each in kind.members.values() for held in _under(each)],
        alike=[clause for each in kind.members.values() for clause in each.clauses],
    )
    pattern = Pattern(
        signature=phrasing.signature,
        template=as_json(template),
        scope=clauses[0].scope,
        labels={phrasing.names.get(slot, slot): label for slot, label in _labels(clauses).items()},
        links=_links(store, clauses),
        spec_hash=clauses[-1].spec_hash,
        words=" ".join(clause.skeleton for each in kind.members.values() for clause in each.clauses[:1]),
    )
    automation = compile_automation(pattern, kind.examples, induced, tools=tools)
    if isinstance(automation, NotLearnt):
        return automation
    own = tuple(each for each in automation.slots if each.name in slots)
    known = {each.name for each in own}
    own += tuple(AutomationSlot(name=name) for name in sorted(slots - known))
    return Proposal(automation.model_copy(update={"slots": own}), support, kind.retro)


def _under(phrasing: Phrasing) -> list[tuple[str, str]]:
    """Return what the slots of a phrasing held, under the kind's names."""
    return [
        (name, text)
        for example in phrasing.examples
        if not example.is_disputed
        for name, value in example.slots.items()
        for text in (value if isinstance(value, tuple) else (value,))
    ]


def _unverified(retro: RetroReport, rules: LearningRules) -> str | None:
    """Return why replaying the past does not vouch for it. Abstaining now and then is no fault; always is."""
    if not retro.agreed and not retro.misses:
        return f"Left out, no past run is predicted: {next(iter(retro.abstained.values()), 'there is none')}"
    if retro.precision < rules.min_precision:
        return f"Left out, {len(retro.misses)} of {retro.runs} past runs are predicted wrong."
    return None


def _unlike(kind: Kind, phrasing: Phrasing, rules: LearningRules) -> str | None:
    """Return why the phrasing's own runs speak against the program of its kind."""
    own = [each for each in phrasing.examples if not each.is_disputed]
    right = sum(explains(kind.induced, each) for each in own)
    if right < rules.min_agreement * len(own) or right < min(rules.min_phrasing, len(own)):
        return f"Said like this, only {right} of {len(own)} runs did what other phrasings teach."
    is_writing = any(call.is_write for each in own for call in each.calls)
    if not is_writing and answers_of(kind.induced, own) < rules.min_agreement:
        return "Said like this, it was answered otherwise."
    return None


def _newest_agent(clauses: tuple[Clause, ...]) -> tuple[Clause, ...]:
    """Return the clauses that the newest version of the agent did: another one may do the same words differently."""
    return tuple(each for each in clauses if each.spec_hash == clauses[-1].spec_hash)


def _labels(clauses: tuple[Clause, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for clause in clauses:
        for slot, label in clause.labels.items():
            found[slot] = (
                label if found.get(slot, label) == label else "web" if "web" in (label, found[slot]) else "tool"
            )
    return found


def _links(store: SignatureStore, clauses: tuple[Clause, ...]) -> Links:
    names = {name for clause in clauses for name in set(clause.companions) - set(clause.introductions)}
    others = {name: [each.example for each in store.clauses(name)] for name in sorted(names) if name in store}
    return learn_links([clause.example for clause in clauses], others)
