from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import httpx

from app.embedded.platform import PlatformOptions, platform
from app.settings import Settings

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


async def test_the_program_of_the_guide_prints_what_the_guide_says(tmp_path: Path) -> None:
    pattern = r"```python\n(.*?)```\n[^`]*`CA_FILE=\.maas/(\S+)`[^`]*```\n(.*?)```"
    ((program, certificate, printed),) = re.findall(pattern, GUIDE.read_text(), flags=re.DOTALL)
    options = PlatformOptions(tmp_path, port=0, cluster_port=0)

    async with platform(options, Settings()) as running:
        address = f"localhost:{running.gateway.address[1]}"
        certificate_file = str(options.state_dir / certificate)
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501  # the certificate is the program's affair
            issued = await client.post(
                f"https://{address}/maas-api/token", headers={"Authorization": "Bearer sha256~alice"}
            )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            env={
                **os.environ,
                "GATEWAY_URL": address,
                "MAAS_TOKEN": issued.json()["token"],
                "CA_FILE": certificate_file,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), timeout=60)

    assert output.decode() == printed
