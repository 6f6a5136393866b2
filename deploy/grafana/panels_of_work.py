"""Panels for the work: the numbers at a glance, runs, queues, models and tools.

Gauges of the platform are taken by `max`, so that nothing is summed twice.
"""

from __future__ import annotations

from panel import DAY, GOAL, Panel, R, Row, number, or_zero, quantiles

_COST_OF = (
    "sum(increase(evolvent_run_cost_usd_total{which}[24h])) / sum(increase(evolvent_runs_served_total{which}[24h]))"
)
_ALL_COST = _COST_OF.replace("{which}", "")
_AGENT_COST = _COST_OF.replace("{which}", '{served_by="agent"}')

GLANCE = Row(
    "At a glance",
    (
        number("Agents spawned, 24 h", or_zero(f"sum(increase(evolvent_agents_spawned_total{DAY}))")),
        number("Active agents", or_zero("sum(max by (loader) (evolvent_loader_resident_agents))")),
        number("Patterns discovered, 24 h", f"sum(increase(evolvent_patterns_discovered_total{DAY}))"),
        number("Automations created, 24 h", f'sum(increase(evolvent_automations_total{{event="created"}}{DAY}))'),
        number("Feedback items, 24 h", f"sum(increase(evolvent_feedback_total{DAY}))"),
        number(
            "Cost saved per run, 24 h",
            or_zero(f"1 - ({_ALL_COST}) / ({_AGENT_COST})"),
            "percentunit",
            "What a run costs on average against one that an agent served alone.",
        ),
        number(
            "Average response time",
            or_zero(
                f"sum(rate(evolvent_run_duration_seconds_sum{DAY}))"
                f" / sum(rate(evolvent_run_duration_seconds_count{DAY}))"
            ),
            "s",
        ),
        number(
            "User satisfaction, 24 h",
            or_zero(
                f"sum(increase(evolvent_feedback_rating_sum{DAY}))"
                f" / sum(increase(evolvent_feedback_rating_count{DAY})) / 5"
            ),
            "percentunit",
            "Mean rating, 5 being all.",
        ),
    ),
)

RUNS = Row(
    "Runs",
    (
        Panel(
            "Runs that end",
            ((f"sum by (status) (rate(evolvent_runs_ended_total{{{GOAL}}}{R}))", "{{status}}"),),
            "reqps",
        ),
        Panel("Served by", ((f"sum by (served_by) (rate(evolvent_runs_served_total{R}))", "{{served_by}}"),), "reqps"),
        Panel("Duration", quantiles("evolvent_run_duration_seconds"), "s"),
        Panel(
            "Failures",
            ((or_zero(f"sum by (category) (increase(evolvent_run_failures_total{R}))"), "{{category}}"),),
        ),
        Panel(
            "Waiting, resumed, deoptimized",
            (
                (f"sum by (reason) (increase(evolvent_runs_suspended_total{R}))", "waits for {{reason}}"),
                (f"sum by (cause) (increase(evolvent_runs_resumed_total{R}))", "resumed: {{cause}}"),
                (f"sum(increase(evolvent_deoptimizations_total{R}))", "deoptimized"),
            ),
        ),
        Panel(
            "Started, scripted, not live",
            (
                (
                    or_zero(f"sum by (priority) (rate(evolvent_runs_started_total{{{GOAL}}}{R}))"),
                    "started: {{priority}}",
                ),
                (f"sum(rate(evolvent_runs_scripted_total{R}))", "scripted"),
                (f"sum by (mode) (rate(evolvent_runs_not_live_total{R}))", "{{mode}}"),
            ),
            "reqps",
        ),
    ),
)

WORKFLOWS = Row(
    "Workflows of several tasks",
    (
        Panel(
            "Workflows that end",
            (
                (
                    or_zero(f"sum by (workflow, status) (increase(evolvent_workflow_runs_total{R}))"),
                    "{{workflow}} {{status}}",
                ),
            ),
        ),
        Panel(
            "Tasks",
            ((f"sum by (status) (increase(evolvent_workflow_tasks_total{R}))", "{{status}}"),),
        ),
        Panel(
            "Share of tasks done",
            (
                (
                    or_zero(
                        f'sum(rate(evolvent_workflow_tasks_total{{status="done"}}{R}))'
                        f" / sum(rate(evolvent_workflow_tasks_total{R}))"
                    ),
                    "done",
                ),
            ),
            "percentunit",
        ),
        Panel("Duration of a task", quantiles("evolvent_workflow_task_duration_seconds"), "s"),
        Panel(
            "Workflows wait for",
            ((f"sum by (reason) (increase(evolvent_runs_suspended_total{R}))", "{{reason}}"),),
        ),
        Panel(
            "Prompt diet",
            (
                (
                    or_zero(
                        f'1 - sum(rate(evolvent_workflow_prompt_bytes_total{{kind="told"}}{R}))'
                        f' / sum(rate(evolvent_workflow_prompt_bytes_total{{kind="monolith"}}{R}))'
                    ),
                    "saved",
                ),
            ),
            "percentunit",
            description="What agent tasks are spared of one prompt for the whole workflow.",
        ),
    ),
)

LOAD = Row(
    "Queues and streams",
    (
        Panel(
            "Requests that nobody took yet", (("max by (priority) (evolvent_queue_pending_requests)", "{{priority}}"),)
        ),
        Panel(
            "Age of the oldest of them",
            (("max by (priority) (evolvent_queue_oldest_age_seconds)", "{{priority}}"),),
            "s",
        ),
        Panel(
            "Requests in hand",
            (
                ("sum(max by (priority) (evolvent_queue_requests_in_hand))", "in hand"),
                ("max(evolvent_run_capacity)", "capacity"),
            ),
        ),
        Panel("Consumers behind", (("max by (consumer) (evolvent_consumer_pending_messages)", "{{consumer}}"),)),
        Panel("In consumers' hands", (("max by (consumer) (evolvent_consumer_messages_in_hand)", "{{consumer}}"),)),
        Panel(
            "Streams, share of their limit",
            (("max by (stream) (evolvent_stream_bytes / evolvent_stream_limit_bytes)", "{{stream}}"),),
            "percentunit",
            is_share=True,
        ),
        Panel("Messages in streams", (("max by (stream) (evolvent_stream_messages)", "{{stream}}"),)),
        Panel(
            "Dead letters",
            (
                ('max(evolvent_stream_messages{stream="DEAD_LETTERS"})', "kept aside"),
                (f"sum by (stream) (increase(evolvent_dead_letters_total{R}))", "new from {{stream}}"),
            ),
        ),
    ),
)

MODELS = Row(
    "Models and tools",
    (
        Panel(
            "Model turns",
            ((or_zero(f"sum by (model, outcome) (rate(evolvent_model_turns_total{R}))"), "{{model}} {{outcome}}"),),
            "reqps",
        ),
        Panel(
            "Duration of a turn, p95",
            (
                (
                    or_zero(
                        "histogram_quantile(0.95, sum by (le, model) "
                        f"(rate(evolvent_model_turn_duration_seconds_bucket{R})))"
                    ),
                    "{{model}}",
                ),
            ),
            "s",
        ),
        Panel("Tokens", ((or_zero(f"sum by (kind) (rate(evolvent_model_tokens_total{R}))"), "{{kind}}"),)),
        Panel(
            "Cost per hour",
            ((or_zero(f"sum by (model) (rate(evolvent_model_cost_usd_total{R})) * 3600"), "{{model}}"),),
            "currencyUSD",
        ),
        Panel(
            "Tool calls",
            ((or_zero(f"sum by (tool, outcome) (rate(evolvent_tool_calls_total{R}))"), "{{tool}} {{outcome}}"),),
            "reqps",
        ),
        Panel(
            "Mean time of a tool call",
            (
                (
                    or_zero(
                        f"sum by (tool) (rate(evolvent_tool_call_seconds_total{R}))"
                        f" / sum by (tool) (rate(evolvent_tool_calls_total{R}))"
                    ),
                    "{{tool}}",
                ),
            ),
            "s",
        ),
    ),
)
