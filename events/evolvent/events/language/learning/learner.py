"""From a signature to a proposal: nominated by support, induced, compiled, and tried on past runs that it never saw.

    signature ─support, distinct principals and sessions▶ nominated ─induce, compile, static checks▶ compiled
              ─leave-one-out over its past runs▶ verified

Frequency nominates and nothing more: whatever is not clear on the way is not learnt, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.compilation import Pattern, compile_automation
from evolvent.events.language.learning.examples import Clause
from evolvent.events.language.learning.induced import NotLearnt
from evolvent.events.language.learning.induction import induce
from evolvent.events.language.learning.links import Links, learn_links
from evolvent.events.language.learning.retro import RetroReport, retrospect
from evolvent.events.language.learning.signature_records import Support
from evolvent.events.language.learning.signature_store import SignatureStore
from evolvent.events.language.learning.templates import as_json, compile_template
from evolvent.events.language.tools import ToolSpec


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


@dataclass(frozen=True, slots=True)
class Proposal:
    """A verified automation, and what speaks for it."""

    automation: Automation
    support: Support
    retro: RetroReport


def nominate(store: SignatureStore, signature: str, rules: LearningRules, *, now: datetime) -> Support | NotLearnt:
    """Return the support of a signature, or why it is not enough."""
    support = store.support(signature, now - rules.window)
    if support.runs < rules.min_support:
        hours = rules.window.total_seconds() / 3600
        return NotLearnt(f"{support.runs} successful runs in {hours:g} h; {rules.min_support} are wanted.")
    is_writing = any(call.is_write for clause in store.clauses(signature) for call in clause.example.calls)
    wanted = rules.min_principals_writes if is_writing else rules.min_principals_reads
    if support.principals < wanted:
        return NotLearnt(f"{support.principals} distinct principals stand behind it; {wanted} are wanted.")
    if is_writing and support.sessions < min(2, wanted):
        return NotLearnt("It writes, and only one session stands behind it.")
    agreement = store.agreement(signature)
    if agreement < rules.min_agreement:
        return NotLearnt(f"The same words came to other work in {1 - agreement:.0%} of the runs.")
    return support


def propose(
    store: SignatureStore,
    signature: str,
    rules: LearningRules,
    *,
    now: datetime,
    tools: Mapping[str, ToolSpec] | None = None,
) -> Proposal | NotLearnt:
    """Return the automation that a signature's runs teach, or why there is none."""
    support = nominate(store, signature, rules, now=now)
    if isinstance(support, NotLearnt):
        return support
    clauses = _newest_agent(store.clauses(signature))
    if len({clause.example.run_id for clause in clauses}) < min(rules.min_support, support.runs):
        return NotLearnt("The agent was changed, and too few runs are of its new version.")
    examples = [clause.example for clause in clauses]
    skeleton = clauses[0].skeleton if clauses else ""
    induced = induce(examples, skeleton=skeleton)
    if isinstance(induced, NotLearnt):
        return induced
    retro = retrospect(examples, skeleton=skeleton)
    why = _unverified(retro, rules)
    if why is not None:
        return NotLearnt(why)
    pattern = Pattern(
        signature=signature,
        template=as_json(compile_template(clauses)),
        scope=clauses[0].scope,
        labels=_labels(clauses),
        links=_links(store, clauses),
        spec_hash=clauses[-1].spec_hash,
    )
    automation = compile_automation(pattern, examples, induced, tools=tools)
    return automation if isinstance(automation, NotLearnt) else Proposal(automation, support, retro)


def _unverified(retro: RetroReport, rules: LearningRules) -> str | None:
    """Return why replaying the past does not vouch for it. Abstaining now and then is no fault; always is."""
    if not retro.agreed and not retro.misses:
        return f"Left out, no past run is predicted: {next(iter(retro.abstained.values()), 'there is none')}"
    if retro.precision < rules.min_precision:
        return f"Left out, {len(retro.misses)} of {retro.runs} past runs are predicted wrong."
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
    beside = sorted({name for each in clauses for name in set(each.companions) - set(each.introductions) if name in store})
    others = {name: [each.example for each in store.clauses(name)] for name in beside}
    return learn_links([clause.example for clause in clauses], others)
