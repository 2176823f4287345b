"""A disk that is full in the middle of a commit, and of writing SQLite's log back."""

import os
import subprocess
from pathlib import Path

from support import full_disk

COMMAND = full_disk.command()

if COMMAND or os.environ.get("CI"):

    def test_a_full_disk_loses_nothing_and_passes(tmp_path):
        """Acknowledged mail is all there when there is room again, without a restart."""
        played = subprocess.run(
            [*COMMAND, tmp_path],
            env=os.environ | {"PYTHONPATH": str(Path(full_disk.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert played.returncode == 0, played.stdout[-1000:] + played.stderr[-6000:]
