"""A settings file, TOML or YAML, as a plain document."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

from evolvent.events.errors import ConfigInvalid


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what a settings file says.

    Raises:
        ConfigInvalid: it is not there, is neither TOML nor YAML, or does not hold a table.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigInvalid(f"The settings file {path} cannot be read: {reason}; correct --config.") from error
    document = _parsed(path, text)
    if not isinstance(document, dict):
        raise ConfigInvalid(f"The settings file {path} must hold a table of settings.")
    return document


def _parsed(path: Path, text: str) -> Any:
    match path.suffix.lower():
        case ".toml":
            try:
                return tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                raise ConfigInvalid(f"The settings file {path} is not TOML: {error}.") from error
        case ".yaml" | ".yml":
            try:
                return yaml.safe_load(text) or {}
            except yaml.YAMLError as error:
                raise ConfigInvalid(f"The settings file {path} is not YAML: {_place(error)}.") from error
        case other:
            raise ConfigInvalid(f"The settings file {path} ends in {other!r}; use .toml, .yaml or .yml.")


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
