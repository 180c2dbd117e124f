"""charon over vici: one session, which comes back by itself."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import vici

Message = dict[str, Any]
TIMEOUT = 10.0


class CharonError(RuntimeError):
    """charon refused a command."""


class CharonGoneError(ConnectionError):
    """There is no charon to talk to."""


class Daemon:
    """Blocking; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: Any = None
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Forget the session; the next command begins another."""
        if self._socket:
            self._socket.close()
        self._session = self._socket = None

    def call(self, command: str, message: Message | None = None) -> Any:
        """One command; ``CharonGoneError`` when charon is not there (any more)."""
        try:
            method = getattr(self._connected(), command)
            answer = method(message) if message is not None else method()
            return list(answer) if hasattr(answer, "__next__") else answer
        except vici.exception.CommandException as error:
            raise CharonError(f"{command}: {error}") from error
        except (OSError, EOFError, vici.exception.SessionException) as error:
            self.close()
            raise CharonGoneError(f"charon is gone: {error}") from error

    def _connected(self) -> Any:
        if self._session is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT)
            try:
                connection.connect(str(self._path))
            except OSError:
                connection.close()
                raise
            self._socket = connection
            self._session = vici.Session(connection)
        return self._session

    def names(self, command: str, key: str) -> set[str]:
        """Names that charon lists: of connections, of keys."""
        return {name.decode() for name in self.call(command).get(key, ())}

    def associations(self) -> list[Message]:
        """All IKE SAs with their child SAs, as text; ``name`` is the connection's."""
        return [{"name": name, **_text(sa)} for answer in self.call("list_sas") for name, sa in answer.items()]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {k: _text(v) for k, v in value.items()}
    return [_text(v) for v in value] if isinstance(value, list) else value
