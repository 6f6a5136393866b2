"""The settings: one frozen document from the environment, a file and a profile. Nothing else reads either.

What is set nearer wins: command line, EVOLVENT_* (nested by `__`), the other names (`environment.ALIASES`),
`[profiles.<name>]` of the file, the file, the profile's own differences, the defaults.
Shown in use by tests/unit/platform/test_settings.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError
from pydantic_settings.sources import PydanticBaseSettingsSource

from evolvent.events.errors import ConfigInvalid
from evolvent.improvement.settings import ImprovementSettings
from evolvent.orchestrator.settings import LoaderSettings, LogSourceSettings, OrchestratorSettings, ResourceSettings
from evolvent.platform.connection import usual_data_dir
from evolvent.platform.environment import ALIASES, DELIMITER, PREFIX, Problem, aliased
from evolvent.platform.settings_file import read_settings_file

Profile = Literal["development", "staging", "production"]
_FROZEN = ConfigDict(frozen=True, extra="forbid")

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "development": {},
    "staging": {"logs": {"format": "json"}},
    "production": {"logs": {"format": "json"}, "metrics": {"port": 9464}},
}
"""How the profiles differ from the defaults, before a file says anything."""


class ModelSettings(BaseModel):
    """The model server: any that speaks the OpenAI chat-completions protocol."""

    model_config = _FROZEN

    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where it is; without one, the vendor's own address."""
    api_key: SecretStr | None = None
    """What the model server asks for."""

    @property
    def is_configured(self) -> bool:
        """Say whether anybody named a model server."""
        return self.base_url is not None or self.api_key is not None


class ToolsSettings(BaseModel):
    """Which tools there are and how far they reach."""

    model_config = _FROZEN

    modules: tuple[str, ...] = ()
    """Modules with functions under `@tool()`, imported by every service that calls tools."""
    allowed_folders: tuple[Path, ...] = ()
    """What file tools may look into. Without any, there are no file tools."""
    goal_tools: dict[str, frozenset[str]] = {}
    """Narrows a goal to these tools."""
    rate_per_minute: int | None = Field(default=None, gt=0)
    """How often one agent may call one tool."""
    tool_rates: dict[str, int] = {}
    """The same for single tools."""
    logs: LogSourceSettings = LogSourceSettings()
    """Where the diagnostic tools look."""


class MetricsSettings(BaseModel):
    """The endpoint that Prometheus reads."""

    model_config = _FROZEN

    enabled: bool = True
    """Whether `up` starts the metrics service."""
    host: str = "127.0.0.1"
    """The address that it listens on."""
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free one; client.json says which."""


class LogSettings(BaseModel):
    """How the services speak, on stderr."""

    model_config = _FROZEN

    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for programs."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """`debug`, `info`, `warning` or `error`."""


class Settings(BaseSettings):
    """Everything that can be set. Frozen; made once by `load_settings`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        nested_model_default_partial_update=False,
    )

    profile: Profile = "development"
    """`development`, `staging` or `production`: how the settings differ before anything else is said."""
    data_dir: Path = Field(default_factory=usual_data_dir)
    """Where everything is kept that this platform writes."""
    durability: Literal["power", "process"] = "power"
    """What a receipt survives: a power cut, or only the death of processes."""
    nats: SecretStr | None = None
    """An external NATS server's URL; without one, `up` brings its own."""
    database: SecretStr | None = None
    """`postgresql://...`; without one, SQLite files in the data folder."""
    model: ModelSettings = ModelSettings()
    prices: dict[str, dict[str, float]] = {}
    """USD per million tokens for models that the price list does not know."""
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    loader: LoaderSettings = LoaderSettings()
    budget: ResourceSettings = ResourceSettings()
    learning: ImprovementSettings = ImprovementSettings()
    tools: ToolsSettings = ToolsSettings()
    metrics: MetricsSettings = MetricsSettings()
    logs: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing but what `load_settings` gathered: there is one place that reads the environment."""
        return (init_settings,)

    @field_serializer("nats", "database")
    def _masked(self, value: SecretStr | None) -> str | None:
        return str(value) if value is not None else None

    @property
    def database_url(self) -> str:
        """Where the databases are."""
        return self.database.get_secret_value() if self.database else str(self.data_dir / "db")

    @property
    def budgets(self) -> ResourceSettings:
        """The resource manager's settings, with the prices."""
        return self.budget.model_copy(update={"prices": {**self.budget.prices, **self.prices}})

    def secrets(self) -> tuple[str, ...]:
        """Return every value that no log line and no error may hold."""
        held = (self.model.api_key, self.nats, self.database)
        own = tuple(secret.get_secret_value() for secret in held if secret is not None)
        return own + self.tools.logs.secrets()


class _Environment(EnvSettingsSource):
    """EVOLVENT_* from a given mapping. A name that is an alias is not also read as a section."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._given = {k.lower(): v for k, v in environment.items() if k.upper() not in ALIASES and v != ""}
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def load_settings(
    *,
    config: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        config: a TOML or YAML file; else EVOLVENT_CONFIG names one, else there is none.
        overrides: what the command line says, nested as the settings are; None values count as not said.
        environment: instead of the process's own.

    Raises:
        ConfigInvalid: with every problem in one message.
    """
    given = os.environ if environment is None else environment
    named = config or (Path(given["EVOLVENT_CONFIG"]) if given.get("EVOLVENT_CONFIG") else None)
    written = read_settings_file(named) if named else {}
    profiles = written.pop("profiles", {})
    nearer = merged(_from_environment(given), _said(overrides or {}))
    profile = nearer.get("profile") or written.get("profile") or "development"
    base = merged(dict(PROFILES.get(profile, {})), written)
    layers = merged(merged(base, _overlay(profiles, profile, named)), nearer)
    try:
        return Settings(**{**layers, "profile": profile})
    except ValidationError as error:
        raise ConfigInvalid(" ".join(str(problem) for problem in explain(error))) from None


def explain(error: ValidationError) -> list[Problem]:
    """Return what is wrong with settings, in words. No value is shown, since it may be a secret."""
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        path = [str(part) for part in item["loc"]]
        name = f"{'.'.join(path)} ({PREFIX}{DELIMITER.join(path).upper()})"
        if item["type"] == "extra_forbidden":
            found.append(Problem(name, "is no setting.", "`evolvent config show` lists every setting."))
        else:
            found.append(Problem(name, f"{item['msg'].rstrip('.')}.", "Correct it."))
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both documents as one; where both speak, the one above counts, section by section."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        own = _Environment(environment)()
    except SettingsError as error:
        raise ConfigInvalid(f"The environment cannot be read: {error}; write lists and tables as JSON.") from None
    return merged(aliased(environment), own)


def _overlay(profiles: Mapping[str, Any], profile: str, file: Path | None) -> Mapping[str, Any]:
    if unknown := sorted(set(profiles) - set(PROFILES)):
        raise ConfigInvalid(f"{file}: there is no profile {unknown[0]!r}; use one of {', '.join(PROFILES)}.")
    overlay: Mapping[str, Any] = profiles.get(profile, {})
    return overlay


def _said(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _said(value) if isinstance(value, Mapping) else value
        for key, value in overrides.items()
        if value is not None
    }
