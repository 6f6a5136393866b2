"""Reads the built-in workflows, which are data: the YAML files in `builtin/`."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from evolvent.events.errors import ConfigInvalid


def builtin_documents() -> dict[str, dict[str, Any]]:
    """Return every built-in workflow as a document, by its name.

    Raises:
        ConfigInvalid: If a file holds something else: the installation is damaged.
    """
    found: dict[str, dict[str, Any]] = {}
    folder = files("evolvent.orchestrator") / "workflows" / "builtin"
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if not entry.name.endswith(".yaml"):
            continue
        document = yaml.safe_load(entry.read_text("utf-8"))
        if not isinstance(document, dict) or document.get("name") != entry.name.removesuffix(".yaml"):
            raise ConfigInvalid(f"The built-in workflow {entry.name!r} is damaged; install Evolvent again.")
        found[document["name"]] = document
    return found


def monolithic_instructions(documents: dict[str, dict[str, Any]]) -> str:
    """Return what one agent for everything would be told with every call: the instructions of all tasks."""
    tasks = [task for document in documents.values() for task in document["tasks"]]
    return "\n\n".join(f"## {task['name']}\n{task['instructions'].strip()}" for task in tasks)
