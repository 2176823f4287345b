"""A private PostgreSQL server for tests: Debian's binaries, a free port, a temporary folder.

`Server.start()` makes a cluster without fsync and starts it on loopback; `Server.database()`
makes a database and tells its URL. As root the server runs as the user `postgres`,
because it refuses to run as root.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from support.ports import free_port


def find_binaries():
    """The folder with initdb and pg_ctl, of the newest version; None where there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parent.parent.name),
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


class Server:
    """One running server; its databases are made by the test that needs one."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.folder = Path(tempfile.mkdtemp(prefix="gatepost-postgres-", dir="/tmp"))
        self.port = free_port()
        self._made = 0
        self._template = None
        self._as_other_user = os.geteuid() == 0
        if self._as_other_user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    @classmethod
    def start(cls, binaries):
        server = cls(binaries)
        try:
            server.run("initdb", "-D", server.data, "-U", "gatepost", "-A", "trust", "-E", "UTF8",
                       "--locale=C", "--no-sync")  # fmt: skip
            server.up()
        except BaseException:
            server.remove()
            raise
        return server

    @property
    def data(self):
        return str(self.folder / "data")

    def up(self):
        """Starts the server; also after `down`."""
        options = (
            f"-p {self.port} -h 127.0.0.1 -k {self.folder} -F "
            "-c full_page_writes=off -c max_connections=60 -c shared_buffers=64MB"
        )
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", log, "-o", options, "start")

    def down(self):
        """Stops the server at once, cutting all connections."""
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", "60", "stop")

    def remove(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, *, empty=False):
        """The URL of a new database: with the schema of today, copied from one made once."""
        template = "template1"
        if not empty:
            template = self._template = self._template or self._make_template()
        self._made += 1
        name = f"gatepost_{self._made}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _make_template(self):
        from gatepost.store.connection import postgresql_engine
        from gatepost.store.schema import migrate

        self._execute("CREATE DATABASE gatepost_template TEMPLATE template1")
        engine = postgresql_engine(self.url("gatepost_template"), writes=True)
        migrate(engine)
        engine.dispose()
        return "gatepost_template"

    def _execute(self, sql):
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def drop(self, url):
        """Removes a database, whoever is still connected."""
        name = url.rpartition("/")[2]
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, name):
        return f"postgresql://gatepost@127.0.0.1:{self.port}/{name}"

    def run(self, program, *arguments):
        command = [str(self.binaries / program), *arguments]
        if self._as_other_user:
            command = ["runuser", "-u", "postgres", "--", *command]
        # Output goes to a file: the server would keep a pipe open, and us waiting for its end.
        with tempfile.TemporaryFile() as output:
            try:
                subprocess.run(
                    command, check=True, cwd="/", stdin=subprocess.DEVNULL,
                    stdout=output, stderr=subprocess.STDOUT,
                )  # fmt: skip
            except subprocess.CalledProcessError as error:
                output.seek(0)
                error.add_note(output.read().decode("utf-8", "replace"))
                raise
