"""The API does what its document says, whatever it is asked: never an error of its own."""

import asyncio
import sys
from pathlib import Path

from support.api import add_source, key_for
from support.site import served

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance",
)  # fmt: skip


async def test_it_answers_as_documented_whatever_it_is_asked(tmp_path):
    async with served(tmp_path) as site:
        key = await key_for(site, "all")
        await add_source(site)
        base = f"http://127.0.0.1:{site.admin_port}/api"
        fuzzing = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("schemathesis"), "run", f"{base}/openapi.json",
            "--url", base, "--header", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS),
            "--max-examples", "5", "--phases", "examples,fuzzing", "--no-color",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await fuzzing.communicate()
        assert fuzzing.returncode == 0, said.decode()
        assert b"Tested: 14" in said
