"""Agent specs: an agent is this stored document; an activation is only a cache entry."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evolvent.events.language.hashing import content_hash


class Capability(StrEnum):
    """What an agent can be chosen for."""

    DATA_FETCH = "data_fetch"
    ANALYSIS = "analysis"
    MEMORY = "memory"
    RECOMMENDATION = "recommendation"
    COORDINATION = "coordination"
    VALIDATION = "validation"
    TRANSFORMATION = "transformation"
    NOTIFICATION = "notification"


class AgentSpec(BaseModel):
    """Everything that makes an agent what it is. `tools` None means: its goal's public tools."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    agent_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    specialty: str
    description: str = ""
    system_prompt: str
    model: str
    goal: str = "default"
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=1.0, ge=0, le=1)
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2)
    max_tokens: int = Field(default=1024, gt=0)
    tools: tuple[str, ...] | None = None
    capabilities: tuple[Capability, ...] = ()
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    max_chain_depth: int = Field(default=3, ge=0)
    max_concurrent_tasks: int = Field(default=5, gt=0)
    parent_context: dict[str, Any] = {}

    @cached_property
    def spec_hash(self) -> str:
        """The content hash that a run is pinned to."""
        return content_hash(self)
