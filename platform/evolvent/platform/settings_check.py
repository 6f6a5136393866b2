"""What is wrong, or risky, with settings that can be read: said by `doctor` and `up`. Asks nobody on the network."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid, PriceUnknown
from evolvent.orchestrator.llm.pricing import PriceTable
from evolvent.orchestrator.logs.files import SETTING as FOLDERS
from evolvent.orchestrator.logs.opening import log_source
from evolvent.platform.environment import Problem, check_names
from evolvent.platform.settings import Settings


def problems(settings: Settings, environment: Mapping[str, str] | None = None) -> list[Problem]:
    """Return everything that is wrong, all at once; what is only risky is marked as a warning."""
    given = os.environ if environment is None else environment
    return [
        *check_names(given, Settings),
        *_model(settings),
        *_tools(settings),
        *_durability(settings),
        *_profile(settings),
        *_file(given.get("EVOLVENT_CONFIG")),
    ]


def _model(settings: Settings) -> list[Problem]:
    found = []
    if not settings.model.is_configured:
        found.append(
            Problem(
                "model",
                "No model server is named, so model turns will fail.",
                "Set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own.",
                is_warning=settings.profile != "production",
            )
        )
    try:
        table = PriceTable(settings.budgets.prices, base_url=settings.model.base_url)
    except ConfigInvalid as error:
        return [*found, Problem("prices", str(error), "Correct it.")]
    for where, model in (
        ("loader.default_model", settings.loader.default_model),
        ("budget.cheaper_model", settings.budget.cheaper_model),
    ):
        try:
            if model is not None:
                table.prices(model)
        except PriceUnknown as error:
            found.append(Problem(where, str(error), "", is_warning=settings.profile != "production"))
    if settings.budget.policy == "cheaper_model" and settings.budget.cheaper_model is None:
        found.append(
            Problem("budget.policy", "cheaper_model is chosen and none is named.", "Set budget.cheaper_model.")
        )
    return found


def _tools(settings: Settings) -> list[Problem]:
    wanted = settings.tools
    found = [
        Problem(where, f"{folder} is no folder that can be read.", "Correct or remove it.")
        for where, folders in (("tools.allowed_folders", wanted.allowed_folders), (FOLDERS, wanted.logs.folders))
        for folder in folders
        if not (folder.expanduser().is_dir() and os.access(folder.expanduser(), os.R_OK))
    ]
    if wanted.logs.source == "splunk":
        try:
            log_source(wanted.logs, data_dir=settings.data_dir, clock=SystemClock())
        except ConfigInvalid as error:
            found.append(Problem("tools.logs", str(error), "Correct it."))
    return found


def _durability(settings: Settings) -> list[Problem]:
    if settings.durability == "power":
        return []
    what = "is `process`: a power cut may lose what was acknowledged in the last moments."
    return [Problem("durability", what, 'Set it to "power" unless that is meant.', is_warning=True)]


def _profile(settings: Settings) -> list[Problem]:
    if settings.profile != "production" or settings.logs.format == "json":
        return []
    return [Problem("logs.format", "is `console` in production.", 'Set it to "json".', is_warning=True)]


def _file(named: str | None) -> list[Problem]:
    """A file with a key in it should not be readable by everybody."""
    path = Path(named) if named else None
    if path is None or not path.is_file() or not path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return []
    if "api_key" not in path.read_text("utf-8", "replace"):
        return []
    return [Problem(str(path), "holds a key and others can read it.", f"chmod 600 {path}", is_warning=True)]
