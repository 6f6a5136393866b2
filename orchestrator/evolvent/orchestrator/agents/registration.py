"""Agents that people register: the call, and the file of many, become specs.

A file holds `agents:`, each with `id`, `type`, `capabilities`, `max_tasks` (3 if left out) and `config`; the call says
`max_concurrent_tasks`, 5 if left out. `config` takes the fields of a spec; what stands in its `custom_settings` the
agent is told as data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from evolvent.events.errors import InvalidMessage
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import RegisterAgent
from evolvent.orchestrator.agents.specialist import PROFILES, slug, system_prompt

MAX_TASKS_IN_FILE = 3
_WORDS = {"id": "agent_id", "type": "agent_type", "max_tasks": "max_concurrent_tasks"}
_CONFIG = frozenset(
    {
        "system_prompt", "description", "model", "goal", "temperature", "top_p", "presence_penalty",
        "frequency_penalty", "max_tokens", "tools", "custom_settings",
    }
)  # fmt: skip


def registrations(document: object) -> tuple[RegisterAgent, ...]:
    """Return the agents that a parsed file registers.

    Raises:
        InvalidMessage: naming the first entry that cannot be read, and why.
    """
    entries = document.get("agents") if isinstance(document, Mapping) else document
    if not isinstance(entries, list) or not entries:
        raise InvalidMessage("The file registers no agent; write `agents:` and a list of them. Nothing was stored.")
    return tuple(_registration(entry, number) for number, entry in enumerate(entries))


def registered(ask: RegisterAgent, *, default_model: str, max_tokens: int) -> AgentSpec:
    """Return the spec of an agent that is registered.

    Raises:
        InvalidMessage: its `config` holds something that no agent has, or a value that does not fit.
    """
    config = dict(ask.config)
    unknown = sorted(config.keys() - _CONFIG)
    if unknown:
        raise InvalidMessage(f"config: {', '.join(unknown)} is no setting of an agent; there are {sorted(_CONFIG)}.")
    told = config.pop("custom_settings", None) or {}
    specialty = slug(ask.agent_type)
    profile = PROFILES.get(specialty)
    fields = {
        "specialty": specialty,
        "description": f"Registered for {ask.agent_type}",
        "system_prompt": system_prompt(ask.agent_type, told, manner=profile.manner if profile else ""),
        "model": default_model,
        "max_tokens": max_tokens,
        "parent_context": told,
        **config,
        "agent_id": ask.agent_id,
        "capabilities": ask.capabilities,
        "max_concurrent_tasks": ask.max_concurrent_tasks,
    }
    try:
        return AgentSpec.model_validate(fields)
    except ValidationError as error:
        raise InvalidMessage(f"Agent {ask.agent_id!r}: {_said(error)}. Nothing was stored.") from error


def _registration(entry: object, number: int) -> RegisterAgent:
    if not isinstance(entry, Mapping):
        raise InvalidMessage(f"agents[{number}] is no object; write id: and type:. Nothing was stored.")
    fields: dict[str, Any] = {_WORDS.get(str(key), str(key)): value for key, value in entry.items()}
    unknown = sorted(fields.keys() - RegisterAgent.model_fields.keys())
    if unknown:
        raise InvalidMessage(f"agents[{number}]: nobody knows {', '.join(unknown)}. Nothing was stored.")
    try:
        return RegisterAgent.model_validate({"max_concurrent_tasks": MAX_TASKS_IN_FILE, **fields})
    except ValidationError as error:
        raise InvalidMessage(f"agents[{number}]: {_said(error)}. Nothing was stored.") from error


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
