"""The first event of a run: what was asked, and all that the run is pinned to."""

from __future__ import annotations

from datetime import timedelta

from evolvent.events import subjects
from evolvent.events.language.workflow import single_agent
from evolvent.events.messages.runs import ServedBy, WorkflowStarted
from evolvent.events.streams import REQUESTS
from evolvent.orchestrator.routing.router import Route
from evolvent.orchestrator.run_parts import RunParts
from evolvent.orchestrator.takeover import Met


def first_event(parts: RunParts, run_id: str, met: Met, route: Route, subject: str) -> WorkflowStarted:
    """Return the event that begins a run; `subject` is that of its request."""
    request = met.request
    priority, goal = subjects.parse_request(subject)
    now = parts.clock.now()
    chosen = route.decision.chosen
    workflow = route.workflow or single_agent(chosen)
    agents = route.agents or ({chosen: route.spec} if route.spec else {})
    usual = parts.settings.workflow_timeout_seconds
    own = route.workflow if route.decision.served_by is not ServedBy.AGENT else None
    timeout = request.timeout_seconds or (own.timeout_seconds if own else usual)
    offered = {tool.name: tool for spec in agents.values() for tool in parts.tools.offered_to(spec, goal)}
    offered |= {name: spec for name, spec in parts.catalog().items() if name in workflow.tools}
    return WorkflowStarted(
        event_id=parts.clock.new_id(),
        run_id=run_id,
        correlation_id=run_id,
        causation_id=request.causation_id or f"{REQUESTS}:{met.sequence}",
        occurred_at=now,
        source=parts.owner,
        request=request,
        request_seq=met.sequence,
        request_hash=met.content_hash,
        goal=goal,
        priority=priority,
        principal=met.principal,
        owner=parts.owner,
        routing=route.decision,
        workflow=workflow,
        workflow_hash=workflow.workflow_hash,
        fallback=route.fallback,
        parameters=route.params,
        agents=agents,
        tool_hashes={name: tool.schema_hash for name, tool in offered.items()},
        deadline_at=now + timedelta(seconds=timeout),
        seed=int(run_id.replace("-", "")[:8], 16),
    )
