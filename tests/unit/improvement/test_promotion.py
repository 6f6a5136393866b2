"""What may go live without a person, and when it is worth looking again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.learnt_domains import restart

from evolvent.events.language.learning.automation import Automation
from evolvent.events.language.learning.signature_records import Support
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.improvement.promotion import agreement_in_service, is_worth_trying, standing_of, why_not_alone
from evolvent.improvement.run_lessons import RunLesson, parse_versions, servings_of
from evolvent.improvement.settings import AutoPromote, ImprovementSettings
from evolvent.storage.signatures import KnownSignature, Serving

KNOWN = KnownSignature(
    signature="s",
    goal="default",
    agent_id="a",
    words="w",
    work="k",
    skeleton="cancel {a}",
    shape="get_order cancel_2! post_each!*",
    is_filler=False,
    support=6,
    principals=2,
    sessions=2,
    disputed=0,
    last_at=datetime(2026, 1, 1, tzinfo=UTC),
    changes=1,
    looked=0,
    looked_with="",
    tried_support=6,
    tried_disputed=0,
    tried_with="t",
    verdict="",
    is_nominated=True,
    automation="",
)


@pytest.mark.parametrize(
    ("promote", "effect", "goes_alone"),
    [
        ("none", Effect.PURE, False),
        ("reads", Effect.PURE, True),
        ("reads", Effect.READ, True),
        ("reads", Effect.IDEMPOTENT, False),
        ("writes", Effect.IDEMPOTENT, True),
        ("writes", Effect.KEYED, True),
        ("writes", Effect.IRREVERSIBLE, False),
        ("reads", Effect.IRREVERSIBLE, False),
    ],
)
def test_only_so_much_goes_live_alone(promote: AutoPromote, effect: Effect, *, goes_alone: bool) -> None:
    automation = Automation(automation_id="a", name="a", kind="full", signature="s", effect=effect)
    assert (why_not_alone(automation, ImprovementSettings(auto_promote=promote)) is None) == goes_alone


def test_what_writes_and_does_not_look_at_every_word_goes_alone_only_where_words_may_be_ignored() -> None:
    automation = Automation(
        automation_id="a", name="a", kind="full", signature="s", effect=Effect.KEYED, ignored_slots=("b",)
    )
    assert why_not_alone(automation, ImprovementSettings(auto_promote="writes")) is None
    why = why_not_alone(automation, ImprovementSettings(auto_promote="writes", may_ignore_words=False))
    assert why == "It writes although nothing looks at b of the request, so a person has to approve it."


@given(st.integers(6, 1000), st.integers(0, 2000))
def test_many_runs_must_grow_by_half(tried: int, support: int) -> None:
    known = replace(KNOWN, tried_support=tried, support=support)
    assert is_worth_trying(known, "t") == (support >= 1.5 * tried)
    assert is_worth_trying(replace(known, disputed=1), "t")
    assert is_worth_trying(known, "other rules")


def test_only_tools_of_the_work_make_it_worth_another_try() -> None:
    settings = ImprovementSettings()

    def stands(**more: str) -> str:
        tools = {name: ToolSpec(name=name, description=text) for name, text in more.items()}
        return standing_of(KNOWN, settings, tools)

    known = stands(get_order="x", cancel="x", post="x", unrelated="x")
    assert known == stands(get_order="x", cancel="x", post="x", unrelated="y", cancel_all="z")
    assert known != stands(get_order="x", cancel="x", unrelated="x")
    assert standing_of(KNOWN, settings.model_copy(update={"min_support": 4}), None) != standing_of(
        KNOWN, settings, None
    )


def test_what_an_automation_served_weighs_as_much_as_what_it_was_learnt_from() -> None:
    assert agreement_in_service(0.5, Support(runs=5), 0) == pytest.approx(0.5)
    assert agreement_in_service(0.5, Support(runs=5), 90) == pytest.approx(0.95)
    assert agreement_in_service(0.0, Support(), 0) == 0.0


def test_several_automations_share_a_run() -> None:
    trace = replace(restart(1, "api-7", "eu"), prompt_tokens=100)
    lesson = RunLesson(trace, (("a", 1), ("b", 2)))
    usual = {("a", 1): 900, ("b", 2): 500}
    assert [each.tokens_saved for each in servings_of(lesson, usual)] == [400, 200]
    wrong = RunLesson(replace(trace, outcome=False), (("a", 1),))
    assert servings_of(wrong, {}) == [Serving("run-1", "a", 1, is_wrong=True)]
    assert servings_of(replace(wrong, is_deoptimized=True), {}) == [Serving("run-1", "a", 1, is_deoptimized=True)]
    assert servings_of(RunLesson(replace(trace, succeeded=False), (("a", 1),)), {}) == []
    assert servings_of(RunLesson(replace(trace, is_live=False), (("a", 1),)), {}) == []


def test_a_name_of_a_version_is_read_and_nonsense_is_not() -> None:
    assert parse_versions(["a@1", "a@b@12", "a", "@3", "a@x"]) == [("a", 1), ("a@b", 12)]


def test_one_number_of_principals_sets_both() -> None:
    settings = ImprovementSettings.model_validate({"min_principals": 3})
    assert (settings.min_principals.reads, settings.min_principals.writes) == (3, 3)
    settings = ImprovementSettings.model_validate({"min_principals": {"writes": 4}})
    assert (settings.min_principals.reads, settings.min_principals.writes) == (1, 4)
