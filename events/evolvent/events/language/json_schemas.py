"""JSON Schemas of parameters and arguments: is a schema one, does a value fit, and its defaults filled in.

No schema is ever fetched: a `$ref` that leaves the document is a problem like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from evolvent.events.language.json_bounds import BadJson, measure
from evolvent.events.language.json_paths import show_path
from evolvent.events.language.references import reference_texts
from evolvent.events.language.workflow_problems import ParametersInvalid

MAX_PROBLEMS = 50


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Return why something is no JSON Schema of an object, or None where it is one."""
    if not schema:
        return None
    try:
        measure(schema, max_nodes=20_000)
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as problem:
        return f"{problem.message[:200]} at {show_path(tuple(problem.absolute_path)) or 'the top'}"
    except BadJson as problem:
        return str(problem)
    if schema.get("type", "object") != "object":
        return f"it describes {schema['type']!r}, and parameters are an object"
    return None


def misfits(schema: Mapping[str, Any], value: Mapping[str, Any], *, constants_only: bool = False) -> list[str]:
    """Return how a value does not fit a schema; with `constants_only`, parts that hold references fit anything."""
    if not schema or schema_problem(schema) is not None:
        return []
    try:
        validator = Draft202012Validator(dict(schema), registry=Registry())
        found: Sequence[ValidationError] = sorted(validator.iter_errors(dict(value)), key=lambda e: e.json_path)
    except (Unresolvable, RecursionError) as problem:
        return [f"the schema cannot be used: {' '.join(str(problem).split())[:200]}"]
    wrong = [error for error in found if not (constants_only and _holds_reference(error))]
    return [f"{show_path(tuple(error.absolute_path)) or 'arguments'}: {error.message[:200]}" for error in wrong][
        :MAX_PROBLEMS
    ]


def _holds_reference(error: ValidationError) -> bool:
    """A wrong part with a reference inside is not known yet; a missing or unknown name is, whatever it holds."""
    return error.validator not in ("required", "additionalProperties") and bool(reference_texts(error.instance))


def bind_parameters(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run: what was given, and the schema's defaults for the rest.

    Raises:
        ParametersInvalid: naming everything that does not fit.
    """
    properties = schema.get("properties")
    defaults = {
        name: part["default"]
        for name, part in (properties.items() if isinstance(properties, dict) else ())
        if isinstance(part, dict) and "default" in part
    }
    bound = {**defaults, **given}
    wrong = misfits(schema, bound)
    if wrong:
        raise ParametersInvalid(f"The parameters do not fit: {'; '.join(wrong)}. Correct them; nothing was started.")
    return bound
