"""What must exist before anybody can ask for it: the first administrator, the first program, the components."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text
from stackkit.database import Database

from .credentials import hash_password
from .directory import Directory
from .records import ADMIN, SERVICE, Program, User
from .schema import new_id
from .settings import Settings

log = logging.getLogger(__name__)


def found(database: Database, directory: Directory, settings: Settings) -> None:
    """First start: `admin` and `labctl`. Every start: a program for each component.

    The fact that it was done is noted last: a crash in between repeats what is missing, and an administrator who
    deletes `admin` later is not surprised by its return.
    """
    if not _is_founded(database):
        if directory.find(User, "folded_name", "admin") is None:
            password = hash_password(_secret(settings.admin_password_file))
            directory.insert(
                User(
                    id=new_id(), user_name="admin", folded_name="admin", display_name="Administrator",
                    password=password, roles=(ADMIN,),
                )
            )  # fmt: skip
        if directory.find(Program, "client_id", "labctl") is None:
            secret = hash_password(_secret(settings.labctl_secret_file))
            directory.insert(
                Program(id=new_id(), client_id="labctl", display_name="labctl", secret=secret, roles=(ADMIN,))
            )
        with database.begin() as connection:
            connection.execute(text("INSERT INTO facts VALUES ('founded', '1')"))
        log.info("first start: user admin and program labctl made")
    for name in settings.services:
        _keep_service(directory, settings, name)


def _is_founded(database: Database) -> bool:
    with database.read() as connection:
        return connection.execute(text("SELECT 1 FROM facts WHERE name = 'founded'")).first() is not None


def _keep_service(directory: Directory, settings: Settings, name: str) -> None:
    wanted = Program(
        id=new_id(),
        client_id=name,
        display_name=name,
        certificate_name=f"{name}.{settings.domain}",
        roles=(SERVICE,),
        redirect_uris=tuple(settings.portal_redirect_uris) if name == "portal" else (),
        post_logout_uris=tuple(settings.portal_post_logout_uris) if name == "portal" else (),
    )
    known = directory.find(Program, "client_id", name)
    if known is None:
        directory.insert(wanted)
        return
    kept = replace(wanted, id=known.id, version=known.version, created=known.created, modified=known.modified)
    if (kept := replace(kept, active=known.active)) != known:
        directory.update(kept, known.version)


def _secret(path: Path) -> str:
    value = path.read_text(encoding="utf-8").strip()
    if len(value) < 8:
        raise ValueError(f"{path}: a secret of at least 8 characters is needed, and a long random one is better")
    return value
