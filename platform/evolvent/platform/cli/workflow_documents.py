"""Workflow documents as the command line takes and shows them: files, NAME, NAME@VERSION, and YAML text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from evolvent.events.errors import InvalidMessage
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_files import read_workflow
from evolvent.events.language.workflow_problems import Problem
from evolvent.platform.client_workflows import WorkflowCalls

MAX_FILE_BYTES = 800 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")


def looks_like_a_file(target: str) -> bool:
    """Say whether a target names a file and not a stored workflow."""
    return target.endswith(_SUFFIXES) or "/" in target or Path(target).is_file()


def read_file(path: Path) -> dict[str, Any]:
    """Return the document of a file, YAML or JSON.

    Raises:
        InvalidMessage: it cannot be read, is too large, or holds no document.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidMessage(f"{path} is larger than {MAX_FILE_BYTES // 1024} KiB; split the workflow.")
        document = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidMessage(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        said = " ".join(str(error).split())[:300]
        raise InvalidMessage(f"{path} is neither YAML nor JSON: {said}") from error
    if not isinstance(document, dict):
        raise InvalidMessage(f"{path} holds no workflow; write name: and tasks:.")
    try:
        json.dumps(document)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{path} holds a value that JSON has not ({str(error)[:200]}); put dates and the like in quotes."
        raise InvalidMessage(message) from error
    return document


def split_name(target: str) -> tuple[str, int | None]:
    """Return the name and the version of NAME or NAME@VERSION.

    Raises:
        InvalidMessage: the version is no number.
    """
    name, at, version = target.rpartition("@")
    if not at:
        return target, None
    if not version.isdecimal() or int(version) < 1:
        raise InvalidMessage(f"{target!r} names no version; write NAME@3, or a file.")
    return name, int(version)


async def read_target(client: WorkflowCalls, target: str) -> dict[str, Any]:
    """Return the document of a file, NAME or NAME@VERSION."""
    if looks_like_a_file(target):
        return read_file(Path(target))
    name, version = split_name(target)
    return document_of((await client.get_workflow(name, version)).workflow)


def document_of(workflow: Workflow) -> dict[str, Any]:
    """Return a workflow as it would be written in a file, without what stands at its defaults."""
    document: dict[str, Any] = workflow.model_dump(mode="json", exclude={"version"})
    return document


def in_our_words(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as it would be stored, so that only what means something else differs."""
    workflow, problems = read_workflow(document)
    return document if workflow is None or problems else document_of(workflow)


def as_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML in the order of its words; long texts as blocks."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def unified_diff(a: dict[str, Any], b: dict[str, Any], names: tuple[str, str]) -> list[str]:
    """Return the lines in which two documents differ as YAML, with three lines around them."""
    texts = (as_yaml(a).splitlines(), as_yaml(b).splitlines())
    return list(difflib.unified_diff(*texts, *names, lineterm=""))


def listed(found: Sequence[Problem]) -> list[str]:
    """Return problems or advice as lines."""
    return [f"  - {problem}".rstrip() for problem in found]


class _Dumper(yaml.SafeDumper):
    """YAML as people write it."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
