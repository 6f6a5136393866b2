"""The AsyncAPI 3.0 document of the bus, made from the message classes themselves, so that it cannot differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from evolvent.events import subjects
from evolvent.events.messages import calls, learning_calls, opinions, runs, schedules, version_calls, workflow_calls
from evolvent.events.messages.commands import Answer, Cancel, Feedback, Outcome
from evolvent.events.messages.platform import PLATFORM_EVENTS
from evolvent.events.messages.requests import Request
from evolvent.events.service import VERSION
from evolvent.events.subjects import Priority, Verb

Direction = Literal["receive", "send"]
_COMMANDS: Mapping[Verb, type[BaseModel]] = {
    Verb.CANCEL: Cancel,
    Verb.APPROVE: Answer,
    Verb.DENY: Answer,
    Verb.FEEDBACK: Feedback,
    Verb.OUTCOME: Outcome,
}
_RUN_EVENTS: tuple[type[runs.RunEvent], ...] = (
    runs.WorkflowStarted,
    runs.AgentStarted,
    runs.AgentCompleted,
    runs.AgentError,
    runs.ToolClaimed,
    runs.ToolCompleted,
    runs.BudgetRefused,
    runs.CancelRequested,
    runs.ApprovalGiven,
    runs.Deoptimized,
    runs.WorkflowSuspended,
    runs.WorkflowResumed,
    runs.WorkflowCompleted,
    runs.WorkflowFailed,
    runs.WorkflowCancelled,
)
_CALLS: Mapping[tuple[str, str], tuple[type[BaseModel], type[BaseModel]]] = {
    ("orchestrator", "journal"): (calls.RunQuery, calls.JournalPage),
    ("orchestrator", "workflows.list"): (workflow_calls.ListWorkflows, workflow_calls.WorkflowList),
    ("orchestrator", "workflows.show"): (workflow_calls.WorkflowQuery, workflow_calls.WorkflowReply),
    ("orchestrator", "workflows.versions"): (workflow_calls.WorkflowQuery, workflow_calls.WorkflowVersionList),
    ("orchestrator", "workflows.check"): (workflow_calls.CheckWorkflow, workflow_calls.Checked),
    ("orchestrator", "put_workflow"): (workflow_calls.PutWorkflow, workflow_calls.PutReply),
    ("orchestrator", "roll_back_workflow"): (workflow_calls.RollBackWorkflow, workflow_calls.PutReply),
    ("orchestrator", "workflows.plan_prompt"): (workflow_calls.PlanPrompt, workflow_calls.PlannerTask),
    ("orchestrator", "workflows.read_plan"): (workflow_calls.ReadPlan, workflow_calls.Checked),
    ("orchestrator", "workflows.engine"): (calls.Empty, workflow_calls.EngineMetrics),
    ("loader", "invoke"): (calls.InvokeTurn, calls.TurnReply),
    ("loader", "spawn"): (calls.SpawnAgent, calls.AgentReply),
    ("loader", "agents"): (calls.AgentsQuery, calls.AgentList),
    ("loader", "register"): (calls.RegisterAgent, calls.AgentReply),
    ("loader", "loads"): (calls.Empty, calls.AgentLoads),
    ("loader", "agent"): (calls.AgentQuery, calls.AgentReply),
    ("loader", "retire"): (calls.AgentQuery, calls.AgentReply),
    ("resources", "lease"): (calls.LeaseRequest, calls.LeaseReply),
    ("resources", "settle"): (calls.SettleLease, calls.Empty),
    ("resources", "release"): (calls.ReleaseLease, calls.Empty),
    ("resources", "can_spawn"): (calls.BudgetQuery, calls.SpawnPermit),
    ("resources", "budget"): (calls.BudgetQuery, calls.BudgetView),
    ("resources", "budgets"): (calls.Empty, calls.BudgetList),
    ("resources", "set_budget"): (calls.SetBudget, calls.BudgetView),
    ("improvement", "learn"): (calls.Empty, learning_calls.LearnReply),
    ("improvement", "patterns"): (learning_calls.PatternsQuery, learning_calls.PatternList),
    ("improvement", "pattern"): (learning_calls.PatternQuery, learning_calls.PatternView),
    ("improvement", "automations"): (learning_calls.AutomationsQuery, learning_calls.AutomationList),
    ("improvement", "automation"): (learning_calls.AutomationQuery, learning_calls.AutomationView),
    ("improvement", "decide"): (learning_calls.DecideAutomation, learning_calls.AutomationView),
    ("improvement", "versions"): (version_calls.VersionsQuery, version_calls.VersionList),
    ("improvement", "version"): (version_calls.VersionQuery, version_calls.VersionView),
    ("improvement", "version_diff"): (version_calls.VersionDiffQuery, version_calls.VersionDiff),
    ("improvement", "roll_back"): (version_calls.RollBackVersion, version_calls.VersionView),
    ("improvement", "decide_improvement"): (version_calls.DecideImprovement, version_calls.VersionView),
    ("improvement", "unlearn"): (version_calls.Unlearn, version_calls.Unlearnt),
    ("improvement", "opinions.list"): (opinions.OpinionsQuery, opinions.OpinionList),
    ("improvement", "opinions.show"): (opinions.OpinionQuery, opinions.OpinionRow),
    ("improvement", "jobs"): (calls.Empty, calls.JobList),
    ("improvement", "run_job"): (calls.JobQuery, calls.Empty),
    ("improvement", "schedules.add"): (schedules.AddSchedule, schedules.ScheduleRow),
    ("improvement", "schedules.list"): (schedules.SchedulesQuery, schedules.ScheduleList),
    **{
        ("improvement", f"schedules.{verb}"): (schedules.ScheduleQuery, schedules.ScheduleRow)
        for verb in ("show", "remove", "pause", "resume", "run")
    },
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """One subject, what travels on it, and who sends: `receive` means that the platform is told."""

    key: str
    address: str
    what: str
    message: type[BaseModel]
    direction: Direction
    reply: type[BaseModel] | None = None


def document() -> dict[str, Any]:
    """Return the document as JSON."""
    channels = list(_channels())
    classes = {c.message for c in channels} | {c.reply for c in channels if c.reply is not None}
    ordered = sorted(classes, key=lambda c: c.__name__)
    _, schema = models_json_schema([(c, "validation") for c in ordered], ref_template="#/components/schemas/{model}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Evolvent",
            "version": VERSION,
            "description": "What travels on the bus. Streams and rights: see the manual.",
        },
        "servers": {"local": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "defaultContentType": "application/json",
        "channels": dict(entry for channel in channels for entry in _channel(channel)),
        "operations": {f"{c.direction}_{c.key}": _operation(c) for c in channels},
        "components": {
            "messages": {c.__name__: _message(c) for c in ordered},
            "schemas": schema.get("$defs", {}),
        },
    }


def _channels() -> Iterator[_Channel]:
    address = "evolvent.requests.{priority}.{goal}"
    yield _Channel("requests", address, "Requests to serve.", Request, "receive")
    yield _Channel("ask", "evolvent.ask.{goal}", "A request whose reply is its run's end.", Request, "receive")
    for verb, kind in _COMMANDS.items():
        address = subjects.command(verb, "RUN_ID").replace("RUN_ID", "{run_id}")
        yield _Channel(f"commands_{verb}", address, _first_line(kind), kind, "receive")
    for event in _RUN_EVENTS:
        name = str(event.model_fields["type"].default)
        yield _Channel(f"runs_{name}", subjects.run_event("{run_id}", name), _first_line(event), event, "send")
    for platform_event in PLATFORM_EVENTS:
        name = platform_event.TYPE
        address = subjects.event(name)
        yield _Channel(f"events_{name}", address, _first_line(platform_event), platform_event, "send")
    for (service, name), (asked, answered) in _CALLS.items():
        address = subjects.endpoint(service, name)
        yield _Channel(f"{service}_{name}", address, _first_line(asked), asked, "receive", reply=answered)


def _channel(channel: _Channel) -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = [channel.message]
    body: dict[str, Any] = {
        "address": channel.address,
        "description": channel.what,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in kinds},
    }
    parameters = {name: _PARAMETERS[name] for name in _PARAMETERS if "{" + name + "}" in channel.address}
    yield channel.key, body | ({"parameters": parameters} if parameters else {})
    if channel.reply is not None:
        name = channel.reply.__name__
        messages = {name: {"$ref": f"#/components/messages/{name}"}}
        yield f"{channel.key}_reply", {"address": None, "description": "The caller's inbox.", "messages": messages}


_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "priority": {"description": "How urgent it is.", "enum": [p.value for p in Priority], "default": "medium"},
    "goal": {"description": "Whose budget it is; letters, digits, _ and -.", "default": "default"},
    "run_id": {"description": "A UUID; in commands `_` means the user's last run."},
}


def _operation(channel: _Channel) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": channel.direction,
        "channel": {"$ref": f"#/channels/{channel.key}"},
        "messages": [{"$ref": f"#/channels/{channel.key}/messages/{channel.message.__name__}"}],
    }
    if channel.reply is not None:
        reply = f"#/channels/{channel.key}_reply"
        operation["reply"] = {
            "channel": {"$ref": reply},
            "messages": [{"$ref": f"{reply}/messages/{channel.reply.__name__}"}],
        }
    return operation


def _message(kind: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": kind.__name__,
        "title": _first_line(kind),
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _first_line(kind: type[BaseModel]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
