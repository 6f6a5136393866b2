"""What becomes of a learnt change, decided on evidence: one step at a time, each with a receipt.

    verified ─▶ shadow ─agrees with the agent▶ canary 5 % ─▶ 25 % ─▶ 100 % ─▶ live, audited
                  │                               └──── wrong, or drifting ────┴──▶ rolled_back
                  └── disagrees, or may not go further without a person ──▶ stays

Hard triggers (feedback, a guard that failed after writes had begun, a changed schema, an error never seen, taint)
end its service at once; soft ones wait for a sequential test. Disagreement is not error: the agent slips too, so a
share of it is borne in shadow, and only audits that somebody judged, outcomes and feedback count as errors of what
is served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from evolvent.events.language.learning.evidence import BOUNDS, Trial, Watch, upper_bound
from evolvent.events.language.tools import Effect

Stage = Literal["verified", "shadow", "canary", "live", "rolled_back"]
Trigger = Literal["feedback", "outcome", "guard_after_write", "schema_changed", "new_error", "taint"]
AutoPromote = Literal["none", "reads", "writes"]
SHARES: Final = (0.05, 0.25, 1.0)


@dataclass(frozen=True, slots=True)
class TrialPolicy:
    """What it takes to go on. Shares and rates are from 0 to 1."""

    auto_promote: AutoPromote = "reads"
    shadow_runs: int = 3
    max_disagreement: float = 0.2
    canary_runs: int = 5
    """Runs that each share of the traffic serves before the next."""
    max_hand_over: float = 0.5
    """Share of matched runs that come back to the agent, beyond which the world has drifted."""
    wants_bound: bool = False
    """Serve no more than a canary until the bound of the risk class is proven."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one version of an automation: counts of runs, each counted once."""

    retro_agreed: int = 0
    retro_missed: int = 0
    shadow_agreed: int = 0
    shadow_disagreed: int = 0
    served: int = 0
    """Runs served at the present share."""
    served_ever: int = 0
    wrong: int = 0
    handed_over: int = 0
    audits: Watch = field(default_factory=Watch)
    drift: Watch = field(default_factory=lambda: Watch(0.2))
    """Hand-overs among the runs that matched."""
    triggers: tuple[Trigger, ...] = ()

    @property
    def samples(self) -> int:
        """Everything that was compared: a run never vouches for what was induced from it, so retro counts."""
        return self.retro_agreed + self.retro_missed + self.shadow_agreed + self.shadow_disagreed + self.audits.samples

    @property
    def errors(self) -> int:
        """What came out otherwise."""
        return self.retro_missed + self.shadow_disagreed + self.audits.errors + self.wrong

    @property
    def error_bound(self) -> float:
        """The error rate that is not exceeded, with 95 % confidence."""
        return upper_bound(self.errors, self.samples)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next step: where to, at what share of the traffic, and why. Without a step all stays as it is."""

    stage: Stage
    share: float
    reason: str


def may_serve(effect: Effect, auto_promote: AutoPromote) -> bool:
    """Say whether an automation of such effects may go beyond shadow without a person."""
    if auto_promote == "none" or effect is Effect.IRREVERSIBLE:
        return False
    return auto_promote == "writes" or effect in (Effect.PURE, Effect.READ)


def next_step(
    stage: Stage, share: float, effect: Effect, evidence: Evidence, policy: TrialPolicy, *, is_approved: bool = False
) -> Verdict | None:
    """Return the next step of a version, or None where it stays.

    Args:
        stage: Where it stands.
        share: Its share of the traffic, in canary.
        effect: The strongest effect that it has.
        evidence: What is known of it.
        policy: What it takes.
        is_approved: A person has let it serve.
    """
    down = _down(stage, evidence, policy)
    if down is not None:
        return down
    match stage:
        case "verified":
            return Verdict("shadow", 0.0, "It is verified: now it is compared with the agent.")
        case "shadow":
            return _out_of_shadow(effect, evidence, policy, is_approved=is_approved)
        case "canary":
            return _out_of_canary(share, effect, evidence, policy)
        case _:
            return None


def _down(stage: Stage, evidence: Evidence, policy: TrialPolicy) -> Verdict | None:
    if stage == "rolled_back":
        return None
    if evidence.triggers:
        return Verdict("rolled_back", 0.0, f"Hard trigger: {', '.join(dict.fromkeys(evidence.triggers))}.")
    if stage in ("canary", "live"):
        if evidence.audits.is_broken:
            rate = f"{evidence.audits.errors} of {evidence.audits.samples}"
            return Verdict(
                "rolled_back", 0.0, f"{rate} audits were wrong: more than {evidence.audits.bound:.0%} is proven."
            )
        if evidence.drift.is_broken and evidence.drift.errors > policy.max_hand_over * evidence.drift.samples:
            rate = f"{evidence.drift.errors} of {evidence.drift.samples}"
            return Verdict("rolled_back", 0.0, f"{rate} matched runs came back to the agent: the world has drifted.")
    return None


def _out_of_shadow(effect: Effect, evidence: Evidence, policy: TrialPolicy, *, is_approved: bool) -> Verdict | None:
    seen = evidence.shadow_agreed + evidence.shadow_disagreed
    if evidence.shadow_disagreed > policy.max_disagreement * seen and seen >= 2 * max(1, policy.shadow_runs):
        share = f"{evidence.shadow_disagreed} of {seen}"
        return Verdict("rolled_back", 0.0, f"It disagreed with the agent in {share} shadow runs.")
    if evidence.shadow_agreed < policy.shadow_runs or evidence.shadow_disagreed > policy.max_disagreement * seen:
        return None
    if not is_approved and not may_serve(effect, policy.auto_promote):
        return None
    return Verdict("canary", SHARES[0], f"It agreed with the agent in {evidence.shadow_agreed} of {seen} shadow runs.")


def _out_of_canary(share: float, effect: Effect, evidence: Evidence, policy: TrialPolicy) -> Verdict | None:
    if evidence.served < policy.canary_runs or evidence.wrong:
        return None
    told = f"{evidence.served} runs at {share:.0%} without an error; error at most {evidence.error_bound:.1%} (95 %)."
    wider = next((each for each in SHARES if each > share), None)
    if wider is not None:
        return Verdict("canary", wider, told)
    bound = BOUNDS.get(effect)
    if policy.wants_bound and (bound is None or _trial(evidence).verdict(bound) != "promote"):
        return None
    return Verdict("live", 1.0, told)


def _trial(evidence: Evidence) -> Trial:
    return Trial(evidence.samples, evidence.errors)
