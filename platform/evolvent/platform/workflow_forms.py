"""The forms in which the SDK takes workflows, brought into the one in which they travel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evolvent.events.language.workflow import Workflow


def slug(name: str) -> str:
    """Return a name in the alphabet of workflow names: `Account Analysis!` is `account_analysis`."""
    return re.sub(r"[^a-z0-9-]+", "_", name.lower())[:64].strip("_-") or "workflow"


def document_of(workflow: Workflow | Mapping[str, Any]) -> dict[str, Any]:
    """Return a workflow as the document that travels."""
    return workflow.model_dump(mode="json") if isinstance(workflow, Workflow) else dict(workflow)


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with enums as the words that stand for them."""
    return {name: getattr(value, "value", value) for name, value in options.items()}
