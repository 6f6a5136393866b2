"""Panels of what ended runs say: the mission's numbers, before and after, automations, failures, what is to come.

The numbers are worked out by scheduled jobs, so they move a minute late; one without data stays empty.
"""

from __future__ import annotations

from panel import GOAL, Panel, R, Row, number, or_zero

_MISSION = (
    ("Agents spawned today", "agents_spawned_today", "short"),
    ("Agents active, 24 h", "active_agents", "short"),
    ("Patterns", "patterns_discovered", "short"),
    ("Automations made", "automations_created", "short"),
    ("User feedback, 24 h", "user_feedback_items", "short"),
    ("Tokens saved, share", "cost_optimization", "percentunit"),
    ("Response time, 24 h", "avg_response_time", "s"),
    ("User satisfaction, 30 d", "user_satisfaction", "percentunit"),
)
MISSION = Row(
    "The mission's eight numbers",
    tuple(number(title, f'max(evolvent_mission{{number="{name}"}})', unit) for title, name, unit in _MISSION),
)

BEFORE_AND_AFTER = Row(
    "Before and after: what a run takes by what served it, last 24 hours",
    (
        Panel("Runs by what served them", (("max by (served_by) (evolvent_served_runs_24h)", "{{served_by}}"),)),
        Panel("Tokens of a run", (("max by (served_by) (evolvent_served_run_tokens_24h)", "{{served_by}}"),)),
        Panel(
            "Cost of a run",
            (("max by (served_by) (evolvent_served_run_cost_24h_usd)", "{{served_by}}"),),
            "currencyUSD",
        ),
        Panel(
            "Saved against spent on learning",
            (
                ("max(evolvent_automation_tokens_saved)", "tokens saved"),
                ("max(evolvent_learner_tokens)", "tokens of the learner"),
            ),
        ),
        Panel(
            "Cost of learning",
            (
                ("max(evolvent_learner_cost_usd)", "so far"),
                (or_zero('max(evolvent_budget_spent_usd{goal="improvement"})'), "today"),
            ),
            "currencyUSD",
        ),
        Panel(
            "How learning does",
            (
                ('max by (number) (evolvent_learning{number!="cost_efficiency"})', "{{number}}"),
                ("max by (specialty) (evolvent_specialty_success_ratio)", "success of {{specialty}}"),
            ),
            "percentunit",
        ),
    ),
)

AUTOMATIONS = Row(
    "Automations",
    (
        Panel("By status", (("max by (status) (evolvent_automation_versions)", "{{status}}"),)),
        Panel(
            "Promoted and rolled back",
            (
                (
                    f'sum by (event) (increase(evolvent_automations_total{{event=~"promoted|rolled_back"}}{R}))',
                    "{{event}}",
                ),
            ),
        ),
        Panel(
            "Served, wrong, handed over",
            (
                ("max by (result) (evolvent_automation_results)", "{{result}}"),
                ("max(evolvent_disputed_runs_24h)", "disputed runs, 24 h"),
            ),
        ),
        Panel("Deoptimized", ((f"sum(increase(evolvent_deoptimizations_total{R}))", "deoptimized"),)),
        Panel(
            "Runs completed for a dollar",
            (('max(evolvent_learning{number="cost_efficiency"})', "24 h"),),
        ),
        Panel(
            "Age of these numbers",
            (("time() - max(evolvent_insights_timestamp_seconds)", "age"),),
            "s",
        ),
    ),
)

FAILURES = Row(
    "Patterns of failures",
    (
        Panel(
            "Patterns by how they go on",
            (("sum by (trend) (max by (category, trend) (evolvent_failure_patterns))", "{{trend}}"),),
            width=12,
        ),
        Panel(
            "Failures, 24 h",
            (("max by (category) (evolvent_failures_24h)", "{{category}}"),),
            width=12,
        ),
    ),
)

TO_COME = Row(
    "What is to come",
    (
        Panel(
            "Cost until midnight UTC",
            ((f"max by (goal, bound) (evolvent_forecast_cost_usd{{{GOAL}}})", "{{goal}} {{bound}}"),),
            "currencyUSD",
            description="In 80 of 100 cases it lies between low and high.",
        ),
        Panel(
            "Runs of this hour",
            (
                (f"max by (goal, bound) (evolvent_forecast_runs{{{GOAL}}})", "{{goal}} {{bound}}"),
                (f"sum by (goal) (increase(evolvent_runs_started_total{{{GOAL}}}[1h]))", "{{goal}} came, 1 h"),
            ),
        ),
        Panel(
            "Daily budget used up in",
            ((or_zero(f"max by (goal) (evolvent_budget_used_up_timestamp_seconds{{{GOAL}}}) - time()"), "{{goal}}"),),
            "s",
            description="At the pace that is expected; zero where it lasts until midnight.",
        ),
    ),
)

FINDINGS = (MISSION, BEFORE_AND_AFTER, AUTOMATIONS, FAILURES, TO_COME)
