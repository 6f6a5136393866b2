"""Settings of the orchestrator floor, one frozen document a service. Built by the platform, never read here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class OrchestratorSettings(BaseModel):
    """How one orchestrator works."""

    model_config = _FROZEN

    max_concurrent_runs: int = Field(default=10, gt=0)
    """Runs that one process drives at a time; waiting runs do not count."""
    max_deliveries: int = Field(default=20, gt=0)
    """Deliveries of a request that never got as far as its first event, before it is dead-lettered."""
    turn_timeout_seconds: float = Field(default=60.0, gt=0)
    """Hard wall for one model turn."""
    workflow_timeout_seconds: float = Field(default=3600.0, gt=0)
    """How long a run may take, where its request does not say; waiting does not count."""
    lease_wait_seconds: float = Field(default=30.0, ge=0)
    """How long a model turn waits for a free slot of its goal, per call to the resource manager."""
    service_wait_seconds: float = Field(default=120.0, ge=0)
    """How long a turn waits for a loader or resource manager that is away, before the turn fails."""
    silence_seconds: float = Field(default=3.5, ge=1.5)
    """How long a loader or resource manager may say nothing before it is taken for dead; a living one says every
    second that it is at work."""
    ack_wait_seconds: float = Field(default=10.0, gt=0)
    """How long a silent owner keeps a run."""
    agent_max_concurrent_tasks: int = Field(default=5, gt=0)
    """How many turns of one agent count as its full load, where tasks are ordered by load."""
    adaptation_rules: tuple[str, ...] = ()
    """Functions that say which ready task of an adaptive workflow goes first, each as `module:function`."""


class LogSourceSettings(BaseModel):
    """Where the diagnostic tools look: log files on this machine, or a Splunk server."""

    model_config = _FROZEN

    source: Literal["files", "splunk"] = "files"
    """`files`: an index of local files. `splunk`: a server's REST API."""
    folders: tuple[Path, ...] = ()
    """Whose files are indexed; without any, those of `tools.allowed_folders`."""
    max_index_gigabytes: float = Field(default=4.0, gt=0)
    """How much text the index takes in; the rest is left out, and answers say that they are not complete."""
    splunk_url: str | None = None
    """Splunk's management port: https://host:8089."""
    splunk_token: SecretStr | None = None
    """A Splunk authentication token."""
    splunk_username: str | None = None
    """Instead of a token, with a password."""
    splunk_password: SecretStr | None = None
    """The password of that user."""
    splunk_ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """How long Splunk may take for one answer."""

    def secrets(self) -> tuple[str, ...]:
        """Return every value that no log line and no error may hold."""
        held = (self.splunk_token, self.splunk_password)
        return tuple(secret.get_secret_value() for secret in held if secret is not None)


class LoaderSettings(BaseModel):
    """How one loader hosts agents."""

    model_config = _FROZEN

    max_active_agents: int = Field(default=50, gt=0)
    """Activations in memory; the least recently used goes first, never one in use."""
    idle_seconds: float = Field(default=24 * 3600.0, gt=0)
    """An activation that was not used for so long is dropped. Its spec stays."""
    max_concurrent_turns: int = Field(default=256, gt=0)
    """Model turns that one loader makes at a time."""
    default_model: str = "gpt-4o"
    """The model of agents whose spec names none."""
    max_tokens: int = Field(default=1024, gt=0)
    """The longest answer of one model turn, where the spec does not say. Always sent, and leased."""


class ResourceSettings(BaseModel):
    """The limits of a goal that has none of its own, and of the whole platform."""

    model_config = _FROZEN

    max_agents: int = Field(default=100, ge=0)
    """Agents that a goal may have: spawned and not retired."""
    max_concurrent: int = Field(default=10, ge=0)
    """Model turns of one goal in flight."""
    max_daily_cost: float = Field(default=10.0, ge=0)
    """USD per UTC day and goal."""
    platform_daily_cost: float | None = Field(default=None, ge=0)
    """USD per UTC day over all goals; None means no cap above the goals'."""
    policy: str = Field(default="queue", pattern="^(queue|cheaper_model|automation_only|ask|stop)$")
    """What happens at a limit: wait for the next day or a higher cap, take a cheaper model, or stop."""
    cheaper_model: str | None = None
    """The model that the policy `cheaper_model` goes on with."""
    prices: dict[str, dict[str, float]] = {}
    """USD per million tokens, where the price list does not know a model: {"m": {"input": 2.5, "output": 10}}."""
    rate_limits: dict[str, dict[str, int]] = {}
    """Per model, shared by all processes: {"gpt-4o": {"requests_per_minute": 500, "tokens_per_minute": 200000}}."""
