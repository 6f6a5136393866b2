"""The part of the SDK about agents: register, list, unregister. For operators.

    async with Client.connect(operator=True) as client:
        await client.register_agent("zoho_scout", "ZohoDataScout", ["data_fetch"], max_concurrent_tasks=3)

Shown in use by tests/docs/test_workflow_examples.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from evolvent.events import subjects
from evolvent.events.envelope import Message
from evolvent.events.errors import CallTimeout, NoResponders, PermissionDenied
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentList, AgentQuery, AgentReply, AgentRow, AgentsQuery, RegisterAgent
from evolvent.events.nats_bus import NatsBus

_CALL_SECONDS = 10.0
_MAX_REPLY_BYTES = 4 * 1024 * 1024


class AgentCalls(ABC):
    """What a client can do with agents. `Client` is one."""

    @property
    @abstractmethod
    def bus(self) -> NatsBus:
        """The connection."""

    async def register_agent(
        self,
        agent_id: str,
        agent_type: str,
        capabilities: Iterable[str] = (),
        *,
        max_concurrent_tasks: int = 5,
        config: Mapping[str, Any] | None = None,
    ) -> AgentSpec:
        """Store an agent, and return it; the same agent_id again is a new version of it.

        Args:
            agent_id: by what name tasks and requests ask for it.
            agent_type: what it is good at, in one or two words.
            capabilities: what tasks it can be chosen for.
            max_concurrent_tasks: how many turns it makes at a time in each loader.
            config: fields of its spec, such as model, system_prompt or tools; it is told its `custom_settings`.

        Raises:
            InvalidMessage: a field or a capability is none that there is.
        """
        fields = {
            "agent_id": agent_id,
            "agent_type": agent_type,
            "capabilities": list(capabilities),
            "max_concurrent_tasks": max_concurrent_tasks,
            "config": dict(config or {}),
        }
        return AgentReply.decode(await self._call_loader("register", RegisterAgent.decode(to_json(fields)))).spec

    async def list_agents(
        self, *, goal: str | None = None, status: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[AgentRow]:
        """Return the stored agents by name; `status` is active or retired."""
        asked = AgentsQuery(goal=goal, status=status, limit=limit, offset=offset)
        reply = await self._call_loader("agents", asked)
        return list(AgentList.decode(reply, max_bytes=_MAX_REPLY_BYTES).agents)

    async def unregister_agent(self, agent_id: str, *, reason: str = "") -> None:
        """Let an agent take no more work. Its runs and its spec stay recorded."""
        await self._call_loader("retire", AgentQuery(agent_id=agent_id, reason=reason))

    async def _call_loader(self, endpoint: str, message: Message) -> bytes:
        subject = subjects.endpoint("loader", endpoint)
        try:
            return await self.bus.call(subject, message.encode(), timeout_seconds=_CALL_SECONDS)
        except (NoResponders, CallTimeout) as error:
            raise PermissionDenied(
                "Nobody took it: agents are for operators, so use Client.connect(operator=True); "
                "or no loader runs, then `evolvent status` says so."
            ) from error
