"""Names in the environment: which are settings, which the mission gave them, and which are typing errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

PREFIX = "EVOLVENT_"
DELIMITER = "__"

ALIASES: Mapping[str, tuple[str, ...]] = {
    "OPENAI_API_KEY": ("model", "api_key"),
    "OPENAI_BASE_URL": ("model", "base_url"),
    "DEFAULT_MODEL": ("loader", "default_model"),
    "EVOLVENT_MODEL": ("loader", "default_model"),
    "EVOLVENT_TOOL_MODULES": ("tools", "modules"),
    "MAX_CONCURRENT_AGENTS": ("orchestrator", "max_concurrent_runs"),
    "ENABLE_METRICS": ("metrics", "enabled"),
    "PROMETHEUS_ENABLED": ("metrics", "enabled"),
    "RATE_LIMIT_PER_MINUTE": ("tools", "rate_per_minute"),
}
"""Other names of settings, where one came to be known by it. Of two names, the EVOLVENT_ one wins."""

NOT_YET: Mapping[str, str] = {
    "ENABLE_CIRCUIT_BREAKERS": "circuit breakers",
    "CIRCUIT_FAILURE_THRESHOLD": "circuit breakers",
    "RETRY_MAX_ATTEMPTS": "a setting for retries (a failed model turn is tried three times)",
    "ENABLE_AUTH": "the HTTP gateway",
}
"""Names that are known from elsewhere and change nothing here, with what is missing for them."""

NOT_SETTINGS = frozenset(
    {
        "EVOLVENT_CONFIG",
        "EVOLVENT_NATS_SERVER",
        "EVOLVENT_DATA",
        "EVOLVENT_DEBUG",
        "EVOLVENT_SUPERVISED_BY",
        "EVOLVENT_CRASH_AT",
    }
)
"""EVOLVENT_ names that are read by something other than the settings."""
_LISTS = frozenset({("tools", "modules")})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the configuration that is wrong, and what to do about it. A warning does not stop anything."""

    where: str
    what: str
    remedy: str
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}"


def aliased(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that are given under another name than their own."""
    found: dict[str, Any] = {}
    for name, path in ALIASES.items():
        if (value := environment.get(name, "")) == "":
            continue
        *sections, last = path
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = [part.strip() for part in value.split(",") if part.strip()] if path in _LISTS else value
    return found


def check_names(environment: Iterable[str], settings: type[BaseModel]) -> list[Problem]:
    """Return a problem for every EVOLVENT_ name that is no setting, with the nearest name that is one."""
    known = {PREFIX + DELIMITER.join(path).upper() for path in paths(settings)} | NOT_SETTINGS
    known |= {name for name in ALIASES if name.startswith(PREFIX)}
    open_ended = tuple(PREFIX + DELIMITER.join(path).upper() + DELIMITER for path in _dictionaries(settings))
    problems = []
    for name in sorted(environment):
        if name in NOT_YET:
            what = f"is set and changes nothing: there is no such thing yet as {NOT_YET[name]}."
            problems.append(Problem(name, what, "Take it out.", is_warning=True))
        if not name.upper().startswith(PREFIX) or name.upper() in known or name.upper().startswith(open_ended):
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
        remedy = f"Did you mean {near[0]}?" if near else "`evolvent config show` lists every setting."
        problems.append(Problem(name, "is no setting of Evolvent, so it changes nothing.", remedy, is_warning=True))
    return problems


def paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Return the path of every setting, sections included."""
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        found.append((name,))
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found.extend((name, *rest) for rest in paths(inner))
    return found


def _dictionaries(model: type[BaseModel]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found.extend((name, *rest) for rest in _dictionaries(inner))
        elif getattr(inner, "__origin__", None) is dict:
            found.append((name,))
    return found
