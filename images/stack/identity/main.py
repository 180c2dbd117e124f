"""The component as its node runs it."""

from __future__ import annotations

import asyncio
import sys

from stackkit import logs, server, settings, tls

from .app import build
from .settings import Settings


def main() -> None:
    """``python -m identity``."""
    try:
        chosen = settings.load(Settings, "identity")
        logs.setup("identity", chosen.log_level)
        app = build(chosen)
        context = tls.Contexts(
            lambda: tls.server_context(chosen.certificate, chosen.key, chosen.service_ca),
            [chosen.certificate, chosen.key, chosen.service_ca],
        )
        listeners = [server.Listener(host, chosen.port, context) for host in chosen.listen]
        asyncio.run(server.serve(app, listeners, max_body=65_536))
    except (settings.SettingsError, server.StartError, OSError, ValueError) as error:
        sys.exit(f"identity: {error}")
