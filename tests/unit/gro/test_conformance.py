"""schemathesis, a client that nobody here wrote, holds GRO against its own OpenAPI (RFC 9457 errors, TMF630 headers):
a real process, real tokens, a real database; every operation with good data, bad data, wrong methods, no token, and the
links between operations.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ORDERING = "/tmf-api/serviceOrdering/v4"
SEED = 20261121
# It takes half a minute alone on two cores; this is for what hangs.
SECONDS = 300
SITE = {"name": "branch-1", "device": "S1", "access": "routed", "gateway": "192.168.1.1/24"}


@pytest.mark.long
async def test_gro_is_as_its_openapi_says(world: Any) -> None:
    await world.start()
    service = {
        "serviceSpecification": {"id": "site-to-internet"},
        "serviceCharacteristic": [{"name": "site", "value": SITE}],
    }
    await world.call(
        "POST", f"{ORDERING}/serviceOrder", {"serviceOrderItem": [{"id": "1", "action": "add", "service": service}]}
    )
    await world.until("completed")
    environment = {
        **os.environ,
        "GRO_TOKEN": world.tokens.of("acme"),
        "SCHEMATHESIS_HOOKS": "tests.unit.gro.schemathesis_hooks",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    argv = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run",
        f"{world.url}/openapi.json", "--tls-verify", str(world.tokens.identity.authority.directory / "ca.pem"),
        "--seed", str(SEED),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, cwd=world.folder
    )
    async with asyncio.timeout(SECONDS):
        report = (await process.communicate())[0].decode()
    print(f"seed {SEED}\n{report}")
    assert process.returncode == 0, f"seed {SEED}\n{report}"
