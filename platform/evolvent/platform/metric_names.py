"""Every metric of Evolvent, as one table: what it is called, what it counts, and by which labels.

Never a label for a run, a user or a message: a scrape of a thousand series takes a tenth of a second. Labels whose
values others choose (goals, models, tools) are bounded by `LABEL_LIMITS`; what comes after is counted as `other`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

PREFIX = "evolvent_"
OTHER = "other"
RUN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
TURN_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
MATCHES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
RATINGS = (1, 2, 3, 4, 5)
LABEL_LIMITS: Mapping[str, int] = {
    "goal": 50,
    "model": 30,
    "workflow": 30,
    "tool": 100,
    "target": 30,
    "loader": 50,
    "job": 30,
    "reason": 30,
    "cause": 10,
    "stream": 10,
    "code": 20,
    "service": 15,
    "type": 60,
    "specialty": 30,
}


class Kind(StrEnum):
    """How a number behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is without the suffixes that the exposition adds (`_total`, `_bucket`, ...)."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names that a query may use."""
        if self.kind is Kind.COUNTER:
            return (f"{self.name}_total",)
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}{suffix}" for suffix in ("_bucket", "_sum", "_count"))
        return (self.name,)


class Sample(NamedTuple):
    """A number for a metric: added to a counter, observed by a histogram, or what a gauge is set to."""

    metric: Metric
    labels: tuple[str, ...] = ()
    value: float = 1.0


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(PREFIX + name, Kind.HISTOGRAM, text, labels, buckets)


RUNS_STARTED = _counter("runs_started", "Live runs that were taken up.", "goal", "priority")
RUNS_ENDED = _counter("runs_ended", "Live runs that ended.", "goal", "status")
RUNS_SERVED = _counter("runs_served", "Live runs that ended, by what served them.", "served_by", "status")
RUNS_SCRIPTED = _counter("runs_scripted", "Runs whose model answers came from a script and not from a model.")
RUNS_NOT_LIVE = _counter("runs_not_live", "Replays, shadows and audits that ended; they count nowhere else.", "mode")
RUN_FAILURES = _counter("run_failures", "Failed live runs by the category of their error.", "category")
RUN_SECONDS_HELD = _histogram(
    "run_duration_seconds", "From the first to the last event of a run.", RUN_SECONDS, "priority"
)
RUN_COST = _counter("run_cost_usd", "Cost of ended live runs, by what served them.", "served_by")
RUNS_RESUMED = _counter("runs_resumed", "Times that a new owner took a run over.", "cause")
RUNS_SUSPENDED = _counter("runs_suspended", "Times that a run began to wait.", "reason")
DEOPTIMIZED = _counter("deoptimizations", "Automations whose guard failed in mid-flight.")
ABSTAINED = _counter(
    "automations_abstained", "Requests to agents that were learnt from and no automation took.", "reason"
)
MATCH_SECONDS = _histogram("automation_match_seconds", "How long requests were looked up in what is learnt.", MATCHES)

WORKFLOW_RUNS = _counter("workflow_runs", "Live runs of workflows of several tasks that ended.", "workflow", "status")
WORKFLOW_TASKS = _counter("workflow_tasks", "Tasks of these runs: done, or left undone at the end.", "status")
WORKFLOW_TASK_SECONDS = _histogram(
    "workflow_task_duration_seconds", "From a task's first turn or call to the end of its last.", RUN_SECONDS, "kind"
)
WORKFLOW_PROMPT = _counter(
    "workflow_prompt_bytes", "What agent tasks were told, and what one prompt for all of it would have said.", "kind"
)

MODEL_TURNS = _counter("model_turns", "Model turns that ended.", "model", "outcome")
MODEL_SECONDS = _histogram("model_turn_duration_seconds", "Duration of model turns.", TURN_SECONDS, "model")
MODEL_TOKENS = _counter("model_tokens", "Tokens; cached ones are also in prompt.", "model", "kind")
MODEL_COST = _counter("model_cost_usd", "Cost of model turns.", "model")
GOAL_COST = _counter("goal_cost_usd", "Cost of model turns by the goal that paid.", "goal")
TOOL_CALLS = _counter("tool_calls", "Tool calls that ended.", "tool", "outcome")
TOOL_SECONDS = _counter("tool_call_seconds", "Time spent in tool calls.", "tool")

AGENTS_SPAWNED = _counter("agents_spawned", "New agent specs.", "goal")
AGENTS_RETIRED = _counter("agents_retired", "Agent specs that take no more work.", "goal")
AGENTS_ACTIVATED = _counter("agents_activated", "Activations that a loader made.")
AGENTS_EVICTED = _counter("agents_evicted", "Activations that a loader dropped.", "reason")
LOADER_RESIDENT = _gauge("loader_resident_agents", "Activations in a loader's memory.", "loader")
LOADER_IN_USE = _gauge("loader_agents_in_use", "Activations with a turn under way.", "loader")
LOADER_LIMIT = _gauge("loader_max_active_agents", "How many activations a loader may hold.", "loader")

BUDGET_REFUSED = _counter("budget_refused", "Turns that got no lease and went on in another way.", "code")
BUDGET_EXCEEDED = _counter("budget_exceeded", "Leases refused because a cap is reached.", "goal")
BUDGET_OVERRUNS = _counter("budget_overruns", "Bills above their lease.", "goal")
BUDGET_OVERRUN_USD = _counter("budget_overrun_usd", "What those bills were above their leases.", "goal")
BUDGET_SPENT = _gauge("budget_spent_usd", "Spent today; goal * is the platform.", "goal")
BUDGET_LEASED = _gauge("budget_leased_usd", "Held for turns under way.", "goal")
BUDGET_LIMIT = _gauge("budget_limit_usd", "The cap of the day.", "goal")
BUDGET_CONCURRENT = _gauge("budget_concurrent_turns", "Model turns in flight.", "goal")
BUDGET_MAX_CONCURRENT = _gauge("budget_max_concurrent_turns", "Model turns that may be in flight.", "goal")
BUDGET_AGENTS = _gauge("budget_agents", "Agents that count against the goal's limit.", "goal")
BUDGET_MAX_AGENTS = _gauge("budget_max_agents", "Agents that the goal may have.", "goal")

PATTERNS = _counter("patterns_discovered", "Signatures seen often enough to be worth an automation.")
AUTOMATIONS = _counter("automations", "What happened to automations.", "event")
IMPROVEMENTS = _counter("improvements", "Better versions, available or applied.", "event")
FEEDBACK = _counter("feedback", "What users said of runs.")
FEEDBACK_RATING = _histogram("feedback_rating", "Ratings from 1 to 5, where one was given.", RATINGS)
MISSION = _gauge(
    "mission", "The eight numbers of the mission; `evolvent status --json` says what each means.", "number"
)
LEARNING = _gauge("learning", "How learning does; `evolvent status --json` says what each number means.", "number")
SPECIALTY_SUCCESS = _gauge("specialty_success_ratio", "Share of the runs of a specialty that completed.", "specialty")
RUNS_24H = _gauge("served_runs_24h", "Live runs of the last 24 hours, by what served them.", "served_by")
TOKENS_PER_RUN = _gauge("served_run_tokens_24h", "Mean tokens of those runs.", "served_by")
COST_PER_RUN = _gauge("served_run_cost_24h_usd", "Mean cost of those runs.", "served_by")
AUTOMATION_VERSIONS = _gauge("automation_versions", "Versions of automations by status.", "status")
AUTOMATION_RESULTS = _gauge("automation_results", "Runs that automations served, served wrong, handed over.", "result")
TOKENS_SAVED = _gauge("automation_tokens_saved", "Tokens that automations saved so far.")
LEARNER_TOKENS = _gauge("learner_tokens", "Tokens that learning itself took so far.")
LEARNER_COST = _gauge("learner_cost_usd", "What learning itself cost so far.")
DISPUTED = _gauge("disputed_runs_24h", "Runs of which somebody said in the last 24 hours that they went wrong.")
FAILURE_PATTERNS = _gauge("failure_patterns", "Patterns of failures by how they go on.", "category", "trend")
FAILURES_24H = _gauge("failures_24h", "Failures of the last 24 hours that belong to a pattern.", "category")
FORECAST_COST = _gauge("forecast_cost_usd", "Cost expected until midnight UTC; 80 % lie in bounds.", "goal", "bound")
FORECAST_RUNS = _gauge("forecast_runs", "Runs expected in the hour under way; 80 % lie in bounds.", "goal", "bound")
BUDGET_USED_UP = _gauge("budget_used_up_timestamp_seconds", "When the daily budget is used up at this pace.", "goal")
INSIGHTS_AT = _gauge("insights_timestamp_seconds", "When these numbers were worked out.")
SCHEDULER_RUNS = _counter("scheduler_runs", "Scheduled jobs that ran.", "job", "outcome")
SCHEDULER_LAST = _gauge("scheduler_last_success_timestamp_seconds", "When a job last ran well.", "job")
CIRCUITS_OPENED = _counter("circuit_opened", "Circuits that opened.", "target")
CIRCUIT_OPEN = _gauge("circuit_open", "1 while a model endpoint or tool is left alone.", "target")
DEAD_LETTERS = _counter("dead_letters", "Messages that nobody could handle.", "stream")
PLATFORM_EVENTS = _counter("events", "Events of the platform that were heard.", "type")
UNREADABLE = _counter("events_unreadable", "Events that could not be read.")

QUEUE_PENDING = _gauge("queue_pending_requests", "Requests that nobody took yet.", "priority")
QUEUE_IN_HAND = _gauge("queue_requests_in_hand", "Requests that an orchestrator holds.", "priority")
QUEUE_AGE = _gauge("queue_oldest_age_seconds", "Age of the oldest request that nobody took yet.", "priority")
RUN_CAPACITY = _gauge("run_capacity", "Runs that all orchestrators may drive at a time.")
STREAM_MESSAGES = _gauge("stream_messages", "Messages that a stream holds.", "stream")
STREAM_BYTES = _gauge("stream_bytes", "Bytes that a stream holds.", "stream")
STREAM_LIMIT = _gauge("stream_limit_bytes", "Bytes that a stream may hold.", "stream")
CONSUMER_PENDING = _gauge("consumer_pending_messages", "Messages that a consumer has yet to see.", "consumer")
CONSUMER_IN_HAND = _gauge("consumer_messages_in_hand", "Messages that a consumer has not acked.", "consumer")
SERVICE_INSTANCES = _gauge("service_instances", "Instances of a service that answer on the bus.", "service")
BUS_CONNECTED = _gauge("bus_connected", "1 while this process is connected to the bus.")
BUS_RECONNECTS = _counter("bus_reconnects", "Times that this process found the bus again.")
POLL_AGE = _gauge("poll_age_seconds", "Age of what was last asked of the platform.", "part")
POLL_FAILURES = _counter("poll_failures", "Questions to the platform that got no answer.", "part")
BUILD = _gauge("build_info", "Always 1; says the version.", "version")

METRICS: Mapping[str, Metric] = {m.name: m for m in list(globals().values()) if isinstance(m, Metric)}
PROCESS_SERIES = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
)
"""What the client library says of this process, on Linux."""


def exposed_names() -> frozenset[str]:
    """Return every name that a panel or an alert may ask for."""
    return frozenset(series for metric in METRICS.values() for series in metric.series) | frozenset(PROCESS_SERIES)
