"""What the embedded nats-server keeps in the data folder: ports and passwords chosen once, and its files.

    <data-dir>/client.json operator.json clients/NAME.json     how to connect (0600)
    <data-dir>/nats/state.json nats.conf                       ports, passwords, settings (0600)
    <data-dir>/nats/nats.pid lock nats-server.log store/

Knows no process. Shown in use by tests/integration/test_nats_server.py.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from evolvent.events.errors import Category, EvolventError, InvalidSubject
from evolvent.platform.nats_config import MAX_PAYLOAD_BYTES, Durability, ServerPlan, render
from evolvent.platform.nats_grants import (
    CALLERS,
    CLIENT_USER,
    OPERATOR_USER,
    RESERVED_NAMES,
    SYSTEM_USER,
    inbox_prefix,
)
from evolvent.platform.private_files import locked, make_private_folder, write_private

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Below the range from which systems lend ports to outgoing connections, so that a kept port stays free.
_PORTS = range(15_000, 32_000)


class NatsStateUnreadable(EvolventError):
    """The file nats/state.json of the data folder cannot be read; restore it, or delete it to choose anew."""

    code, category = "nats.state_unreadable", Category.SYSTEM


class PortTaken(EvolventError):
    """Another program listens on a port that this data folder keeps; stop it. Nothing was started."""

    code, category = "nats.port_taken", Category.RESOURCE


class ClientExists(EvolventError):
    """There is a client of this name already; choose another name. Nothing was changed."""

    code, category = "client.exists", Category.VALIDATION


class ClientUnknown(EvolventError):
    """There is no client of this name; `evolvent clients list` shows all. Nothing was changed."""

    code, category = "client.unknown", Category.VALIDATION


@dataclass(frozen=True, slots=True)
class NatsState:
    """What is chosen once and kept. `passwords` is of our own users, `clients` of those that were added."""

    port: int
    monitor_port: int
    passwords: Mapping[str, str] = field(repr=False)
    clients: Mapping[str, str] = field(repr=False)
    durability: Durability = "power"
    max_payload_bytes: int = MAX_PAYLOAD_BYTES

    def password_of(self, user: str) -> str:
        """Return a user's password.

        Raises:
            ClientUnknown: nobody is called so.
        """
        password = self.passwords.get(user) or self.clients.get(user)
        if password is None:
            raise ClientUnknown(f"There is no NATS user {user!r}; add it with `evolvent clients add {user}`.")
        return password

    def url_for(self, user: str) -> str:
        """Return the URL, password and all, under which this user connects."""
        return f"nats://{quote(user)}:{quote(self.password_of(user))}@127.0.0.1:{self.port}"


class NatsFolder:
    """The files of one data folder's nats-server. Every change is made under a lock and replaces a whole file."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.root = self.data_dir / "nats"
        self.config = self.root / "nats.conf"
        self.pid_file = self.root / "nats.pid"
        self.lock_file = self.root / "lock"
        self.log_file = self.root / "nats-server.log"
        self.output_file = self.root / "nats-server.out"
        self.clients_dir = self.data_dir / "clients"
        self._state_file = self.root / "state.json"
        self._state_lock = self.root / "state.lock"

    def open(self) -> None:
        """Make the folders, closed to other users of the machine."""
        make_private_folder(self.root)
        make_private_folder(self.clients_dir)

    def kept(self) -> NatsState | None:
        """Return what was chosen before, None where nothing was; changes nothing."""
        return self._load()

    def settle(self, durability: Durability | None = None, max_payload_bytes: int | None = None) -> NatsState:
        """Return the kept state, choosing what is missing, and write the configuration to match."""
        self.open()
        with locked(self._state_lock):
            state = self._load() or NatsState(0, 0, {}, {})
            state = replace(
                _completed(state),
                durability=durability or state.durability,
                max_payload_bytes=max_payload_bytes or state.max_payload_bytes,
            )
            self._save(state)
        return state

    def add_client(self, name: str) -> NatsState:
        """Give a client of this name a password of its own.

        Raises:
            InvalidSubject: the name cannot stand in a subject or is one of ours.
            ClientExists: it, or one that differs only in upper and lower case, is there already.
        """
        check_client_name(name)
        self.settle()
        with locked(self._state_lock):
            state = self._existing()
            twin = next((known for known in state.clients if known.lower() == name.lower()), None)
            if twin is not None:
                raise ClientExists(f"There is a client {twin!r} already; choose another name for {name!r}.")
            state = replace(state, clients={**state.clients, name: _new_password()})
            self._save(state)
        return state

    def remove_client(self, name: str) -> NatsState:
        """Forget a client's password and its connection file.

        Raises:
            ClientUnknown: nobody added such a client.
        """
        check_client_name(name)
        self.settle()
        with locked(self._state_lock):
            state = self._existing()
            if name not in state.clients:
                raise ClientUnknown(f"There is no client {name!r}; `evolvent clients list` shows all.")
            state = replace(state, clients={n: p for n, p in state.clients.items() if n != name})
            self._save(state)
            (self.clients_dir / f"{name}.json").unlink(missing_ok=True)
        return state

    def require_free_ports(self, state: NatsState) -> None:
        """Make sure that the kept ports can be used.

        Raises:
            PortTaken: somebody else listens on one of them; the message says how to choose another.
        """
        for key, port in (("port", state.port), ("monitor_port", state.monitor_port)):
            if not is_free(port):
                raise PortTaken(
                    f"Port {port} of 127.0.0.1 belongs to another program; stop that, or set {key!r} to 0 in "
                    f"{self._state_file} to choose another. Nothing was started."
                )

    def clients(self) -> tuple[str, ...]:
        """Return the names of the clients that were added, sorted."""
        state = self._load()
        return tuple(sorted(state.clients)) if state else ()

    def write_connection_files(self, state: NatsState, extra: Mapping[str, object]) -> None:
        """Write client.json and operator.json with these further entries, such as `pid` and `metrics_url`."""
        for user in (CLIENT_USER, OPERATOR_USER):
            write_private(self.data_dir / f"{user}.json", _connection(state, user, extra))

    def _existing(self) -> NatsState:
        state = self._load()
        if state is None:
            raise NatsStateUnreadable(f"{self._state_file} has just disappeared; start `evolvent up` again.")
        return state

    def _load(self) -> NatsState | None:
        try:
            raw = json.loads(self._state_file.read_text("utf-8"))
            return NatsState(**raw)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise NatsStateUnreadable(
                f"{self._state_file} cannot be read; restore it, or delete it to choose new ports and passwords."
            ) from error

    def _save(self, state: NatsState) -> None:
        write_private(self._state_file, json.dumps(asdict(state), indent=2))
        write_private(self.config, render(self._plan(state)))
        for name in state.clients:
            write_private(self.clients_dir / f"{name}.json", _connection(state, name, {}))

    def _plan(self, state: NatsState) -> ServerPlan:
        return ServerPlan(
            port=state.port,
            monitor_port=state.monitor_port,
            store_dir=self.root / "store",
            log_file=self.log_file,
            passwords={**state.clients, **state.passwords},
            clients=(CLIENT_USER, *sorted(state.clients)),
            durability=state.durability,
            max_payload_bytes=state.max_payload_bytes,
        )


def check_client_name(name: str) -> None:
    """Refuse a name that cannot be a client's.

    Raises:
        InvalidSubject: it cannot stand in a subject, or belongs to a service.
    """
    if not _NAME.fullmatch(name):
        raise InvalidSubject(f"{name[:80]!r} cannot name a client: use 1 to 64 of A-Z a-z 0-9 _ -.")
    if name.lower() in RESERVED_NAMES:
        raise InvalidSubject(f"{name!r} is the name of one of Evolvent's own users; choose another.")


def is_free(port: int) -> bool:
    """Say whether nobody listens on this loopback port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _completed(state: NatsState) -> NatsState:
    """Choose the ports that are 0 and a password for each of our users that has none (a newer version's)."""
    passwords = {user: state.passwords.get(user) or _new_password() for user in (SYSTEM_USER, *CALLERS, CLIENT_USER)}
    port = state.port or _free_port(besides=state.monitor_port)
    monitor_port = state.monitor_port or _free_port(besides=port)
    return replace(state, port=port, monitor_port=monitor_port, passwords=passwords)


def _free_port(besides: int) -> int:
    candidates = random.SystemRandom().sample(_PORTS, 200)
    for port in candidates:
        if port != besides and is_free(port):
            return port
    raise PortTaken(f"No loopback port between {_PORTS.start} and {_PORTS.stop} is free; free some.")


def _new_password() -> str:
    return secrets.token_urlsafe(24)


def _connection(state: NatsState, user: str, extra: Mapping[str, object]) -> str:
    own = {"nats_url": state.url_for(user), "inbox_prefix": inbox_prefix(user)}
    rest = {"metrics_url": None, "console_url": None, "pid": None, **extra} if extra or user in RESERVED_NAMES else {}
    if user != OPERATOR_USER:
        rest.pop("database", None)
    return json.dumps({**rest, **own}, indent=2)
