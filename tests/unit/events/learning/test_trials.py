from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.learning.evidence import Watch
from evolvent.events.language.learning.trials import Evidence, TrialPolicy, Verdict, may_serve, next_step
from evolvent.events.language.tools import Effect

READ, KEYED = Effect.READ, Effect.KEYED
PILOT = TrialPolicy(auto_promote="writes")


def test_it_goes_from_verified_to_live_one_step_at_a_time() -> None:
    stage, share, path = "verified", 0.0, []
    evidence = Evidence(retro_agreed=3, shadow_agreed=3, served=5, served_ever=5)
    while (step := next_step(stage, share, READ, evidence, TrialPolicy())) is not None:  # type: ignore[arg-type]
        stage, share = step.stage, step.share
        path.append((stage, share))
    assert path == [("shadow", 0.0), ("canary", 0.05), ("canary", 0.25), ("canary", 1.0), ("live", 1.0)]


def test_what_writes_stays_in_shadow_until_settings_or_a_person_let_it_out() -> None:
    ready = Evidence(shadow_agreed=50)
    assert next_step("shadow", 0.0, KEYED, ready, TrialPolicy()) is None
    assert next_step("shadow", 0.0, KEYED, ready, PILOT) is not None
    assert next_step("shadow", 0.0, KEYED, ready, TrialPolicy(), is_approved=True) is not None
    assert next_step("shadow", 0.0, Effect.IRREVERSIBLE, ready, PILOT) is None


@pytest.mark.parametrize("stage", ["verified", "shadow", "canary", "live"])
@pytest.mark.parametrize(
    "trigger", ["feedback", "outcome", "guard_after_write", "schema_changed", "new_error", "taint"]
)
def test_one_hard_trigger_ends_it_wherever_it_stands(stage: str, trigger: str) -> None:
    step = next_step(stage, 1.0, READ, Evidence(shadow_agreed=99, served=99, triggers=(trigger,)), PILOT)  # type: ignore[arg-type]
    assert step is not None
    assert step.stage == "rolled_back"
    assert trigger in step.reason


def test_wrong_audits_bring_it_down_and_right_ones_never_do() -> None:
    wrong = Evidence(audits=Watch().all_seen([True, True]))
    assert next_step("live", 1.0, READ, wrong, PILOT) is not None
    assert next_step("live", 1.0, READ, Evidence(audits=Watch().all_seen([False] * 5000)), PILOT) is None


def test_a_world_that_drifted_brings_it_down() -> None:
    drifted = Evidence(drift=Watch(0.2).all_seen([True] * 12))
    step = next_step("live", 1.0, READ, drifted, PILOT)
    assert step is not None
    assert "drifted" in step.reason


def test_an_automation_that_disagrees_in_shadow_is_given_up() -> None:
    assert next_step("shadow", 0.0, READ, Evidence(shadow_agreed=3, shadow_disagreed=1), PILOT) is None
    step = next_step("shadow", 0.0, READ, Evidence(shadow_agreed=3, shadow_disagreed=3), PILOT)
    assert step is not None
    assert step.stage == "rolled_back"


def test_where_the_bound_is_wanted_a_canary_stays_one_until_it_is_proven() -> None:
    policy = replace(PILOT, wants_bound=True)
    assert next_step("canary", 1.0, KEYED, Evidence(served=5, shadow_agreed=100), policy) is None
    assert next_step("canary", 1.0, KEYED, Evidence(served=5, shadow_agreed=332), policy) is not None


@given(
    st.sampled_from(["verified", "shadow", "canary", "live"]),
    st.sampled_from([0.0, 0.05, 0.25, 1.0]),
    st.sampled_from(list(Effect)),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 3),
)
def test_nothing_serves_beyond_what_its_effects_allow(
    stage: str, share: float, effect: Effect, agreed: int, disagreed: int, served: int, wrong: int
) -> None:
    evidence = Evidence(shadow_agreed=agreed, shadow_disagreed=disagreed, served=served, wrong=wrong)
    step = next_step(stage, share, effect, evidence, TrialPolicy())  # type: ignore[arg-type]
    if stage == "shadow" and step is not None and step.stage == "canary":
        assert may_serve(effect, "reads")
        assert effect in (Effect.PURE, Effect.READ)
    if step is not None and step.stage in ("canary", "live") and stage == "canary":
        assert wrong == 0


def served_before_rollback(error: float, seed: int) -> int:
    """A harmful candidate: how many runs does it serve of the first 400 that match, before it is taken back?"""
    chance = random.Random(seed)
    evidence, stage, share, served = Evidence(retro_agreed=3), "shadow", 0.0, 0
    for _ in range(400):
        wrong = chance.random() < error
        if stage == "shadow" or chance.random() >= share:
            kind = "shadow_disagreed" if wrong else "shadow_agreed"
            evidence = replace(evidence, **{kind: getattr(evidence, kind) + 1})
        else:
            served += 1
            evidence = replace(evidence, served=evidence.served + 1, audits=evidence.audits.seen(is_error=wrong))
        step: Verdict | None = next_step(stage, share, KEYED, evidence, PILOT)  # type: ignore[arg-type]
        if step is not None:
            stage, share, evidence = step.stage, step.share, replace(evidence, served=0)
            if stage == "rolled_back":
                return served
    return served


def test_a_harmful_candidate_is_gone_before_it_serves_many_and_a_good_one_stays() -> None:
    assert sum(served_before_rollback(0.5, seed) for seed in range(40)) / 40 < 5
    assert all(served_before_rollback(0.0, seed) > 150 for seed in range(20))
