"""Panels for looking after the platform: agents, money, learning, health."""

from __future__ import annotations

from panel import GOAL, Panel, R, Row, or_zero, quantiles

AGENTS = Row(
    "Agents",
    (
        Panel(
            "Agents in a loader's memory",
            (
                (or_zero("max by (loader) (evolvent_loader_resident_agents)"), "{{loader}}"),
                (or_zero("max by (loader) (evolvent_loader_agents_in_use)"), "{{loader}} in use"),
                (or_zero("max(evolvent_loader_max_active_agents)"), "limit"),
            ),
        ),
        Panel(
            "Activated and evicted",
            (
                (f"sum(rate(evolvent_agents_activated_total{R}))", "activated"),
                (or_zero(f"sum by (reason) (rate(evolvent_agents_evicted_total{R}))"), "evicted: {{reason}}"),
            ),
        ),
        Panel(
            "Spawned and retired",
            (
                (or_zero(f"sum(increase(evolvent_agents_spawned_total{{{GOAL}}}{R}))"), "spawned"),
                (or_zero(f"sum(increase(evolvent_agents_retired_total{{{GOAL}}}{R}))"), "retired"),
            ),
        ),
    ),
)

MONEY = Row(
    "Money",
    (
        Panel(
            "Share of today's budget",
            (
                (
                    or_zero(
                        f"max by (goal) ((evolvent_budget_spent_usd{{{GOAL}}} + evolvent_budget_leased_usd)"
                        " / (evolvent_budget_limit_usd > 0))"
                    ),
                    "{{goal}}",
                ),
            ),
            "percentunit",
            is_share=True,
        ),
        Panel(
            "Spent per hour by goal",
            ((or_zero(f"sum by (goal) (rate(evolvent_goal_cost_usd_total{{{GOAL}}}{R})) * 3600"), "{{goal}}"),),
            "currencyUSD",
        ),
        Panel(
            "Refused, exceeded, overrun",
            (
                (or_zero(f"sum by (code) (increase(evolvent_budget_refused_total{R}))"), "refused: {{code}}"),
                (or_zero(f"sum by (goal) (increase(evolvent_budget_exceeded_total{R}))"), "exceeded: {{goal}}"),
                (or_zero(f"sum by (goal) (increase(evolvent_budget_overruns_total{R}))"), "overrun: {{goal}}"),
            ),
        ),
        Panel(
            "Overrun in all",
            ((or_zero("sum by (goal) (evolvent_budget_overrun_usd_total)"), "{{goal}}"),),
            "currencyUSD",
        ),
        Panel(
            "Turns in flight, share of the goal's limit",
            (
                (
                    or_zero(
                        f"max by (goal) (evolvent_budget_concurrent_turns{{{GOAL}}}"
                        " / (evolvent_budget_max_concurrent_turns > 0))"
                    ),
                    "{{goal}}",
                ),
            ),
            "percentunit",
            is_share=True,
        ),
        Panel(
            "Agents, share of the goal's limit",
            (
                (
                    or_zero(f"max by (goal) (evolvent_budget_agents{{{GOAL}}} / (evolvent_budget_max_agents > 0))"),
                    "{{goal}}",
                ),
            ),
            "percentunit",
            is_share=True,
        ),
    ),
)

LEARNING = Row(
    "Learning",
    (
        Panel("Automations", ((f"sum by (event) (increase(evolvent_automations_total{R}))", "{{event}}"),)),
        Panel(
            "Left to agents although something is learnt",
            ((or_zero(f"sum by (reason) (increase(evolvent_automations_abstained_total{R}))"), "{{reason}}"),),
        ),
        Panel("Look-up in what is learnt", quantiles("evolvent_automation_match_seconds"), "s"),
        Panel(
            "Share of runs that an automation served",
            (
                (
                    or_zero(
                        f'sum(rate(evolvent_runs_served_total{{served_by="automation"}}{R}))'
                        f" / sum(rate(evolvent_runs_served_total{R}))"
                    ),
                    "automation",
                ),
            ),
            "percentunit",
        ),
        Panel("Improvements", ((f"sum by (event) (increase(evolvent_improvements_total{R}))", "{{event}}"),)),
        Panel(
            "Scheduled jobs",
            ((or_zero(f"sum by (job, outcome) (increase(evolvent_scheduler_runs_total{R}))"), "{{job}} {{outcome}}"),),
        ),
        Panel(
            "Since a job last ran well",
            ((or_zero("time() - max by (job) (evolvent_scheduler_last_success_timestamp_seconds)"), "{{job}}"),),
            "s",
        ),
        Panel(
            "Ratings",
            ((f"sum by (le) (increase(evolvent_feedback_rating_bucket{R}))", "up to {{le}}"),),
        ),
    ),
)

HEALTH = Row(
    "Health",
    (
        Panel("Instances", (("max by (service) (evolvent_service_instances)", "{{service}}"),)),
        Panel(
            "Circuits",
            (
                (or_zero("max by (target) (evolvent_circuit_open)"), "open: {{target}}"),
                (or_zero(f"sum by (target) (increase(evolvent_circuit_opened_total{R}))"), "opened: {{target}}"),
            ),
        ),
        Panel("Events of the platform", ((or_zero(f"sum by (type) (rate(evolvent_events_total{R}))"), "{{type}}"),)),
        Panel(
            "Bus",
            (
                ("min(evolvent_bus_connected)", "connected"),
                (f"sum(increase(evolvent_bus_reconnects_total{R}))", "reconnects"),
                (f"sum(increase(evolvent_events_unreadable_total{R}))", "unreadable events"),
            ),
        ),
        Panel(
            "Questions without an answer",
            (
                ("max by (part) (evolvent_poll_age_seconds)", "age: {{part}}"),
                (f"sum by (part) (increase(evolvent_poll_failures_total{R}))", "failed: {{part}}"),
            ),
        ),
        Panel(
            "The metrics' own process",
            (
                (f'rate(process_cpu_seconds_total{{job="evolvent"}}{R})', "CPU cores"),
                ('process_open_fds{job="evolvent"} / process_max_fds{job="evolvent"}', "open files, share"),
            ),
        ),
        Panel("Its memory", (('process_resident_memory_bytes{job="evolvent"}', "resident"),), "bytes"),
        Panel(
            "Up for",
            (
                ('time() - process_start_time_seconds{job="evolvent"}', "{{instance}}"),
                ("max by (version) (evolvent_build_info)", "version {{version}}"),
            ),
            "s",
        ),
    ),
)
