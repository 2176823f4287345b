"""Haraka from npm, at the versions and hashes in `tests/peers/haraka`: a peer of tests and bench.

    install()
    command = lay_out(folder, port=port, plugins={"keep": KEEP})

`lay_out` writes a configuration into an empty folder and tells how Haraka is started with it.
"""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / "build" / "haraka"


def install():
    """Does nothing where it is installed already."""
    subprocess.run([ROOT / ".ci" / "haraka", INSTALLED], check=True, timeout=500)


def lay_out(folder, *, port, plugins, settings=(), nodes="0"):
    """`plugins` are loaded in their order; those of our own are texts, Haraka's are None."""
    texts = {
        "smtp.ini": f"listen=127.0.0.1:{port}\nnodes={nodes}\ndaemonize=false\n",
        "plugins": "".join(f"{name}\n" for name in plugins),
        "me": "haraka.example.org\n",
        "log.ini": "[main]\nlevel=error\n",
        **dict(settings),
    }
    (folder / "config").mkdir()
    (folder / "plugins").mkdir()
    for name, text in texts.items():
        (folder / "config" / name).write_text(text)
    for name, text in plugins.items():
        if text is not None:
            (folder / "plugins" / f"{name}.js").write_text(text)
    package = INSTALLED / "node_modules" / "Haraka"
    shutil.copy(package / "config" / "connection.ini", folder / "config")
    return ["node", package / "bin" / "haraka", "-c", folder]
