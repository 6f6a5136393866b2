"""The text of the embedded nats-server's configuration, made from data.

Three kinds of account: SYS, EVOLVENT (the services, with JetStream), and one account for each client.
A client publishes `evolvent.requests.<priority>.<goal>`; its account's import adds the client's name as a last
token, so what reaches the services is `evolvent.requests.<priority>.<goal>.<client>` and nobody can sign with
another's name. (The header `Nats-Request-Info` would not do: the server takes it off before a stream stores the
message, and a header line that ends in a bare LF fakes it.) It also means that a reply subject chosen by a
client is one of its own account, so a stream's acknowledgement can't be steered into another stream.
Shown in use by tests/unit/platform/test_nats_config.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evolvent.events import subjects
from evolvent.platform.nats_grants import (
    ALL_STREAMED,
    CLIENT_CALLS,
    DISCOVERY,
    SYSTEM_USER,
    Grant,
    client_grant,
    inbox_prefix,
    service_account_grants,
)

Durability = Literal["power", "process"]

MAX_PAYLOAD_BYTES = 1024 * 1024
# The streams reserve 13 GiB; by default the server would refuse them on a disk with less than 17 free.
MAX_FILE_STORE_BYTES = 64 * 1024**3
# After the server's own two minutes an answer would be dropped without a word.
ANSWER_WITHIN = "2h"
DISCOVER_WITHIN = "30s"


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """All that the configuration depends on. `passwords` has one for every user, clients included."""

    port: int
    monitor_port: int
    store_dir: Path
    log_file: Path
    passwords: Mapping[str, str]
    clients: tuple[str, ...]
    durability: Durability = "power"
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


def render(plan: ServerPlan) -> str:
    """Return the configuration file of a server as planned. It holds passwords."""
    sync = "\n  sync_interval: always" if plan.durability == "power" else ""
    clients = "\n".join(_client_account(name, plan.passwords[name]) for name in plan.clients)
    return f"""server_name: evolvent
listen: "127.0.0.1:{plan.port}"
http: "127.0.0.1:{plan.monitor_port}"
max_payload: {plan.max_payload_bytes}
log_file: {_quoted(str(plan.log_file))}
logfile_size_limit: 8MB
logfile_max_num: 3
jetstream {{
  store_dir: {_quoted(str(plan.store_dir))}
  max_file_store: {MAX_FILE_STORE_BYTES}{sync}
}}
system_account: SYS
accounts {{
  SYS {{ users: [{{user: {SYSTEM_USER}, password: {_quoted(plan.passwords[SYSTEM_USER])}}}] }}
{_services_account(plan)}
{clients}
}}
"""


def _services_account(plan: ServerPlan) -> str:
    users = "\n".join(_user(grant, plan.passwords[grant.user]) for grant in service_account_grants())
    exports = "\n".join(
        [
            *(_service_export(subject) for subject in _signed_by("*")),
            *(_service_export(subject) for subject in CLIENT_CALLS),
            # Many answer one ping, so these are forgotten by time only, and soon.
            f'      {{service: "{DISCOVERY}", response_type: stream, response_threshold: "{DISCOVER_WITHIN}"}}',
            f'      {{stream: "{subjects.ALL_RUNS}"}}',
            f'      {{stream: "{ALL_STREAMED}"}}',
        ]
    )
    return f"""  EVOLVENT {{
    jetstream: enabled
    users: [
{users}
    ]
    exports: [
{exports}
    ]
  }}"""


def _client_account(name: str, password: str) -> str:
    imports = "\n".join(
        [
            *(
                _service_import(signed, to=plain)
                for signed, plain in zip(_signed_by(name), subjects.SIGNED, strict=True)
            ),
            *(_service_import(subject) for subject in CLIENT_CALLS),
            _service_import(DISCOVERY),
            _stream_import(subjects.ALL_RUNS),
            _stream_import(ALL_STREAMED),
        ]
    )
    return f"""  "CLIENT_{name}" {{
    users: [
{_user(client_grant(name), password)}
    ]
    imports: [
{imports}
    ]
  }}"""


def _user(grant: Grant, password: str) -> str:
    subscribe = (*grant.subscribe, f"{inbox_prefix(grant.user)}.>")
    return f"""      {{user: {_quoted(grant.user)}, password: {_quoted(password)}, permissions: {{
        publish: {{allow: {_listed(grant.publish)}}}
        subscribe: {{allow: {_listed(subscribe)}}} }} }}"""


def _signed_by(name: str) -> tuple[str, ...]:
    return tuple(f"{subject}.{name}" for subject in subjects.SIGNED)


def _service_export(subject: str) -> str:
    return f'      {{service: "{subject}", response_threshold: "{ANSWER_WITHIN}"}}'


def _service_import(subject: str, to: str | None = None) -> str:
    local = f', to: "{to}"' if to else ""
    return f'      {{service: {{account: EVOLVENT, subject: "{subject}"}}{local}}}'


def _stream_import(subject: str) -> str:
    return f'      {{stream: {{account: EVOLVENT, subject: "{subject}"}}}}'


def _listed(subject_patterns: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(pattern) for pattern in dict.fromkeys(subject_patterns)) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text)
