"""Writes configuration.md, cli.md and events.md from the code, so that they cannot say anything else.

    python docs/build_reference.py          # writes the pages beside this file
    python docs/build_reference.py --check  # says which page is old, and ends with 1

Checked by tests/docs/test_reference.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from evolvent.events import errors, streams, subjects
from evolvent.events.messages import calls, commands, platform, requests, runs
from evolvent.platform import asyncapi
from evolvent.platform.cli.app import app
from evolvent.platform.environment import ALIASES, DELIMITER, NOT_YET, PREFIX
from evolvent.platform.settings import PROFILES, Settings

DOCS = Path(__file__).resolve().parent
ROOTS = ("events", "storage", "orchestrator", "improvement", "platform")
MADE = "<!-- Made by docs/build_reference.py; do not edit. -->"
_LINE = 118


def pages() -> dict[str, str]:
    """Return the text of every generated page, by file name."""
    return {"configuration.md": configuration(), "cli.md": command_line(), "events.md": events()}


def configuration() -> str:
    """Return the page of settings."""
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        "What is set nearer wins: the command line, `EVOLVENT_*` names, the other names below, `[profiles.<name>]` of",
        "the settings file, the file, the profile, the defaults. The file is TOML or YAML: `--config FILE` or",
        "`EVOLVENT_CONFIG`. Lists and tables in the environment are JSON. `evolvent config show` prints what is in",
        "force, `evolvent doctor` what is wrong with it.",
        "",
        *_settings_of(Settings, ()),
        "## Profiles",
        "",
        "`--profile NAME` or `EVOLVENT_PROFILE`. How each differs from the defaults:",
        "",
        *table(("profile", "differs in"), [(f"`{name}`", _differences(has)) for name, has in PROFILES.items()]),
        "",
        "## Other names in the environment",
        "",
        "Of two names for one setting, the `EVOLVENT_` one wins.",
        "",
        *table(("name", "is the setting"), [(f"`{name}`", f"`{'.'.join(path)}`") for name, path in ALIASES.items()]),
        "",
        "These names are known and change nothing yet; `doctor` says so where they are set:",
        "",
        *table(("name", "what is missing for it"), [(f"`{name}`", what) for name, what in NOT_YET.items()]),
    ]
    return _page(lines)


def command_line() -> str:
    """Return the page of commands."""
    lines = [
        "# Command line",
        "",
        MADE,
        "",
        "Every listing takes `--json`: JSON Lines on stdout; logs and progress go to stderr. Exit codes: 0 it worked,",
        "1 what was asked for failed, 2 bad usage or configuration, 130 interrupted. `evolvent --install-completion`",
        "makes the shell complete commands and run_ids.",
        "",
    ]
    for path, command in commands_of(get_command(app)):
        lines += [f"## evolvent {' '.join(path)}", "", *_paragraphs(command.help or ""), "```"]
        lines += [line.strip() for line in (command.epilog or "").splitlines()[1:] if line.strip()]
        lines += ["```", ""]
        rows = [_parameter(each) for each in command.params if each.name != "help"]
        lines += [*table(("argument", "default", "meaning"), rows), ""]
    return _page(lines)


def commands_of(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command that does something, with its path."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from commands_of(child, (*path, name))


def events() -> str:
    """Return the page of everything that travels on the bus."""
    run_events = [(str(k.model_fields["type"].default), k) for k in _subclasses(runs.RunEvent) if k is not runs.Final]
    platform_events = [(kind.TYPE, kind) for kind in platform.PLATFORM_EVENTS]
    lines = [
        "# On the bus",
        "",
        MADE,
        "",
        "Everything is JSON. `evolvent asyncapi` prints the whole as an AsyncAPI 3 document with every field.",
        "",
        "## Streams",
        "",
        *table(("stream", "subjects", "retention", "kept", "at most", "message at most", "when full"), _streams()),
        "",
        "## Durable consumers",
        "",
        "Processes of one service share its consumers. The time to answer of the `orchestrator_*` ones is",
        "`orchestrator.ack_wait_seconds`.",
        "",
        *table(
            ("consumer", "stream", "seconds to answer"),
            [(f"`{d.name}`", d.stream, f"{d.ack_wait_seconds:g}") for d in streams.durables()],
        ),
        "",
        "## A request",
        "",
        f"`evolvent.requests.<priority>.<goal>`, priority one of {', '.join(f'`{p}`' for p in subjects.Priority)}.",
        "Only `message` is needed. A field that is not here is refused by its name.",
        "",
        *table(("field", "type"), [_field(requests.Request, name) for name in requests.Request.model_fields]),
        "",
        "## Commands",
        "",
        "`evolvent.commands.<verb>.<run_id>`; `_` as run_id means the user's last run.",
        "",
        *table(("verb", "meaning", "fields"), _commands()),
        "",
        "## Events of a run",
        "",
        "`evolvent.runs.<run_id>.<type>`, in the order of the run. Each carries `turns` (model turns that ended since",
        "the event before) and `tools` (tool calls that ended), so a run of one turn is two events. `client.follow`",
        "and `evolvent runs show` expand them; `agent_started` is part of other events. Every one carries:",
        *textwrap.wrap(", ".join(f"`{name}`" for name in runs.RunEvent.model_fields) + ".", _LINE),
        "",
        *table(("type", "meaning", "fields of its own", "published"), _rows(run_events, runs.RunEvent)),
        "",
        "## Events of the platform",
        "",
        "`evolvent.events.<type>`.",
        "",
        *table(("type", "meaning", "fields of its own", "published"), _rows(platform_events, platform.PlatformEvent)),
        "",
        "## Calls between services",
        "",
        "NATS micro services: request and reply, seen by `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`.",
        "",
        *table(("subject", "asks with", "gets"), _calls()),
        "",
        "## Errors",
        "",
        "An error on the bus has `code`, `category`, `message`, `retryable` and `retry_after_seconds`.",
        "",
        *table(("code", "category", "again?", "usual message"), _errors()),
    ]
    return _page(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return ["None."]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def every_error() -> list[type[errors.EvolventError]]:
    """Return every error class of the five floors."""
    package = importlib.import_module("evolvent")
    for module in pkgutil.walk_packages(package.__path__, "evolvent."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
    own = [k for k in _subclasses(errors.EvolventError) if k.__module__.startswith("evolvent.")]
    return sorted({errors.EvolventError, *own}, key=lambda kind: (kind.code, kind.__name__))


def first_line(thing: Any) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the sentence below each field of a settings class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for field, after in pairwise(body):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = inspect.cleandoc(after.value.value).replace("\n", " ")
    return found


def _settings_of(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    explained, rows, sections = meanings(model), [], []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections += _settings_of(field.annotation, (*path, name))
            continue
        here = (*path, name)
        variable = PREFIX + DELIMITER.join(here).upper()
        rows.append((f"`{'.'.join(here)}`", f"`{variable}`", _default(field), explained.get(name, "")))
    title = [f"## {'.'.join(path)}", "", first_line(model), ""] if path else ["## The platform", ""]
    return [*title, *table(("setting", "environment", "default", "meaning"), rows), "", *sections]


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "the user's usual data folder"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, dict | tuple):
        return "empty" if not value else f"`{value}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _differences(document: Any) -> str:
    said = [f"`{section}.{name}` = `{value}`" for section, has in document.items() for name, value in has.items()]
    return ", ".join(said) or "nothing"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    is_argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if is_argument else ", ".join(parameter.opts)
    shown = parameter.show_default if isinstance(getattr(parameter, "show_default", None), str) else None
    default = "needed" if parameter.required else shown or _plain(parameter.default)
    return f"`{name}`", default, getattr(parameter, "help", "") or ""


def _plain(value: Any) -> str:
    return "" if value in (None, False, "") else f"`{value}`"


def _paragraphs(text: str) -> list[str]:
    return [line for part in text.split("\n\n") for line in (*textwrap.wrap(" ".join(part.split()), _LINE), "")]


def _streams() -> Iterator[tuple[str, ...]]:
    for spec in streams.STREAMS:
        kept = f"{spec.max_age_seconds / streams.DAY:g} days" if spec.max_age_seconds else "until it is done"
        size = f"{spec.max_msg_size // 1024} KiB" if spec.max_msg_size > 0 else "900 KiB"
        full = "refuses" if spec.discard == "new" else "drops the oldest"
        names = ", ".join(f"`{each}`" for each in spec.subjects)
        yield spec.name, names, spec.retention, kept, f"{spec.max_bytes // streams.GIB} GiB", size, full


def _commands() -> Iterator[tuple[str, str, str]]:
    for verb, kind in asyncapi._COMMANDS.items():
        meaning = (
            f"{verb.value.capitalize()} what a suspended run waits for."
            if kind is commands.Answer
            else first_line(kind)
        )
        yield f"`{verb}`", meaning, ", ".join(f"`{name}`" for name in kind.model_fields)


def _rows(found: Sequence[tuple[str, type[BaseModel]]], base: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    published = _constructed([kind.__name__ for _, kind in found])
    for name, kind in found:
        own = ", ".join(f"`{field}`" for field in kind.model_fields if field not in base.model_fields)
        yield f"`{name}`", first_line(kind), own, "yes" if kind.__name__ in published else "no"


_ASKS = re.compile(r"isinstance|case |^    [A-Z]\w+,$")
"""Lines that name a class and make nothing of it: a question, a branch, an import."""


def _constructed(names: Sequence[str]) -> set[str]:
    """Return which of these classes some module makes objects of."""
    found: set[str] = set()
    for root in ROOTS:
        for path in (DOCS.parent / root).rglob("*.py"):
            if "messages" not in path.parts and path.name not in ("asyncapi.py", "reducer.py", "expansion.py"):
                lines = path.read_text("utf-8").splitlines()
                code = "\n".join(line for line in lines if not _ASKS.search(line))
                found |= set(re.findall(rf"\b({'|'.join(names)})(?:\(|\.model_validate|,$)", code, re.MULTILINE))
    return found


def _calls() -> Iterator[tuple[str, str, str]]:
    for (service, name), (asked, answered) in asyncapi._CALLS.items():
        needs = ", ".join(f"`{field}`" for field in asked.model_fields) or "nothing"
        yield (
            f"`{subjects.endpoint(service, name)}`",
            needs,
            "nothing" if answered is calls.Empty else f"`{answered.__name__}`",
        )


def _errors() -> Iterator[tuple[str, str, str, str]]:
    for kind in every_error():
        yield f"`{kind.code}`", kind.category.value, "yes" if kind.retryable else "no", first_line(kind)


def _field(model: type[BaseModel], name: str) -> tuple[str, str]:
    kind = str(model.model_fields[name].annotation).replace("typing.", "")
    return f"`{name}`", re.sub(r"<class '(\w+)'>", r"\1", kind)


def _subclasses(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *_subclasses(child))]


def _page(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say which are old."""
    old = [name for name, text in pages().items() if not _is_current(DOCS / name, text)]
    if "--check" in arguments:
        sys.stdout.writelines(f"docs/{name} is old; run python docs/build_reference.py\n" for name in old)
        return 1 if old else 0
    for name, text in pages().items():
        (DOCS / name).write_text(text, "utf-8")
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
