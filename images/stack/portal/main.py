"""The component as its node runs it."""

from __future__ import annotations

import asyncio
import sys

from stackkit import logs, server, settings, tls

from .app import Portal
from .settings import Settings


async def run(chosen: Settings) -> None:
    files = [chosen.certificate, chosen.key, chosen.service_ca]
    # Browsers are asked for no certificate: people prove themselves at identity.
    contexts = tls.Contexts(lambda: tls.server_context(chosen.certificate, chosen.key), files)
    async with Portal(chosen) as portal:
        listeners = [server.Listener(host, chosen.port, contexts) for host in chosen.listen]
        await server.serve(portal.app, listeners, max_body=262_144)


def main() -> None:
    """``python -m portal``."""
    try:
        chosen = settings.load(Settings, "portal")
        logs.setup("portal", chosen.log_level)
        asyncio.run(run(chosen))
    except (settings.SettingsError, server.StartError, OSError, ValueError) as error:
        sys.exit(f"portal: {error}")
