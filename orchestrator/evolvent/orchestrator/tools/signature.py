"""From a function's signature to its JSON Schema and the check that its arguments must pass."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails

from evolvent.orchestrator.tools.context import ToolContext
from evolvent.orchestrator.tools.refusals import BadArguments, ToolInvalid

CONTEXT_PARAMETER = "ctx"
_MOST_ERRORS = 50
_MOST_NAME_CHARACTERS = 64
_PLAIN_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ARGUMENT_LINE = re.compile(r"^ {4}(\w+)(?: \([^)]*\))?: *(.*)$")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a call must bring along."""

    parameters: dict[str, Any]
    """JSON Schema of the arguments."""
    check: Callable[[Mapping[str, object]], dict[str, Any]]
    """Returns the arguments as the function wants them, or raises BadArguments naming every bad field."""
    takes_context: bool


class _Untitled(GenerateJsonSchema):
    """A schema without titles: they repeat the names, and every prompt would pay for them."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def read_signature(function: Callable[..., object], name: str) -> Signature:
    """Read the parameters of a function, or raise ToolInvalid where they cannot be described.

    Fields get neutral names and the parameters' own as aliases, so that no parameter can collide with
    an attribute of pydantic's.
    """
    hints = _parameter_hints(function, name)
    described = _argument_descriptions(function.__doc__ or "")
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    takes_context = False
    for parameter in inspect.signature(function).parameters.values():
        _require_plain(parameter, hints, name)
        if parameter.name == CONTEXT_PARAMETER:
            takes_context = True
            continue
        field = f"a{len(fields)}"
        names[field] = parameter.name
        annotation = _aliased(hints[parameter.name], parameter.name, described.get(parameter.name))
        fields[field] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    model = _model_of(fields, name)
    return Signature(_schema_of(model), _check_of(model, names, name), takes_context)


def _parameter_hints(function: Callable[..., object], name: str) -> dict[str, Any]:
    """Resolve the annotations of the parameters only: what the tool returns is nobody's contract."""
    annotations = {key: hint for key, hint in inspect.get_annotations(function).items() if key != "return"}
    try:
        return get_type_hints(
            types.SimpleNamespace(__annotations__=annotations),
            globalns={"ToolContext": ToolContext, **getattr(function, "__globals__", {})},
            include_extras=True,
        )
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ToolInvalid(
            f"Tool {name!r} has an annotation that cannot be resolved ({error}); import its type at module level."
        ) from error


def _require_plain(parameter: inspect.Parameter, hints: Mapping[str, Any], name: str) -> None:
    if parameter.kind not in _PLAIN_KINDS:
        raise ToolInvalid(f"Tool {name!r} takes {parameter}; give every parameter a name of its own.")
    if parameter.name == CONTEXT_PARAMETER:
        hint = hints.get(CONTEXT_PARAMETER, ToolContext)
        if ToolContext not in (hint, *get_args(hint)):
            raise ToolInvalid(f"Tool {name!r} has a parameter 'ctx' that is no ToolContext; rename it.")
    elif parameter.name not in hints:
        raise ToolInvalid(f"Tool {name!r} has the parameter {parameter.name!r} without a type; annotate it.")


def _aliased(hint: Any, alias: str, description: str | None) -> Any:
    has_own = any(isinstance(extra, FieldInfo) and extra.description for extra in get_args(hint)[1:])
    if typing.get_origin(hint) is Annotated and has_own:
        description = None
    field = Field(alias=alias, description=description) if description else Field(alias=alias)
    return Annotated[hint, field]


def _model_of(fields: dict[str, Any], name: str) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=False)
    try:
        return create_model("Arguments", __config__=config, **fields)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise ToolInvalid(f"Tool {name!r} has a parameter that JSON cannot carry: {reason}") from error


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=_Untitled)
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _check_of(
    model: type[BaseModel], names: Mapping[str, str], name: str
) -> Callable[[Mapping[str, object]], dict[str, Any]]:
    validate = model.__pydantic_validator__.validate_python

    def check(arguments: Mapping[str, object]) -> dict[str, Any]:
        try:
            checked = validate(arguments)
        except ValidationError as error:
            raise BadArguments(_message(name, error)) from None
        values = checked.__dict__
        return {names[field]: values[field] for field in checked.__pydantic_fields_set__}

    return check


def _message(name: str, error: ValidationError) -> str:
    """Name every bad field, and quote no value: values may be secret, and are long."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    listed = [f"{_place(detail)}: {detail['msg']}" for detail in details[:_MOST_ERRORS]]
    if len(details) > _MOST_ERRORS:
        listed.append(f"and {len(details) - _MOST_ERRORS} more")
    return f"The arguments of {name!r} are not valid. {'; '.join(listed)}. Correct them and call again."


def _place(detail: ErrorDetails) -> str:
    path = ".".join(str(part)[:_MOST_NAME_CHARACTERS] for part in detail["loc"])
    return path.encode("utf-8", "replace").decode() or "arguments"


def _argument_descriptions(docstring: str) -> dict[str, str]:
    """Read the `Args:` section of a Google-style docstring."""
    _, found, section = inspect.cleandoc(docstring).partition("\nArgs:\n")
    described: dict[str, str] = {}
    current = ""
    for line in section.splitlines() if found else ():
        if line and not line.startswith(" "):
            break
        if match := _ARGUMENT_LINE.match(line):
            current = match[1]
            described[current] = match[2].strip()
        elif current and line.strip():
            described[current] = f"{described[current]} {line.strip()}".strip()
    return described
