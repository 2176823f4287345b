"""A private PostgreSQL server for tests: Debian's binaries, a free port, a temporary folder.

`Server.start()` makes a cluster without fsync and starts it on loopback; `Server.database()`
makes a database and tells its URL. `down` stops it as an administrator does, `crash` as the end
of its machine does; after both, `up`. As root the server runs as the user `postgres`, because it
refuses to run as root.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from support.patience import PATIENCE_SECONDS
from support.ports import free_port
from support.watching import lives

_PATIENCE = f"{PATIENCE_SECONDS:.0f}"


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


def crash(data):
    """Kills the server whose cluster is in `data`: its power is cut. Safe from any process."""
    note = Path(data, "postmaster.pid")
    number, _, _, port, sockets, *_ = note.read_text().splitlines()
    postmaster = int(number)
    os.kill(postmaster, signal.SIGSTOP)  # so that it begins no child meanwhile, and ends none
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
    family = [postmaster, *map(int, children.split())]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # nobody is to learn of another's death
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    while any(lives(pid) for pid in family):  # they have memory in common until the last is gone
        time.sleep(0.005)
    for left in (note, Path(sockets, f".s.PGSQL.{port}.lock")):
        left.unlink()  # or it would not start while init has not buried that one yet


def _name_in(url):
    return urlsplit(url).path.removeprefix("/")


class Server:
    """One running server; its databases are made by the test that needs one."""

    def __init__(self, binaries, settings=()):
        self.binaries = binaries
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="gatepost-postgres-", dir="/tmp"))
        self.port = free_port()
        self._made = 0
        self._template = None
        self._as_other_user = os.geteuid() == 0
        if self._as_other_user:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    @classmethod
    def start(cls, binaries, *settings):
        """A new one; `settings` such as "work_mem=1MB" stand over those that are usual here."""
        server = cls(binaries, settings)
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
        settings = (
            "full_page_writes=off", "max_connections=60", "shared_buffers=64MB", *self._settings,
        )  # fmt: skip
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -F "
        options += " ".join(f"-c {setting}" for setting in settings)
        log = str(self.folder / "log")
        self.run(
            "pg_ctl", "-D", self.data, "-w", "-t", _PATIENCE, "-l", log, "-o", options, "start"
        )

    def down(self):
        """Stops the server at once, cutting all connections."""
        self.run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "-t", _PATIENCE, "stop")

    def crash(self):
        """Ends all its processes at once (SIGKILL), in the middle of whatever they do."""
        crash(self.data)

    def crash_with_a_word(self):
        """Ends them without another write, as `pg_ctl` does for who is in a hurry."""
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-t", _PATIENCE, "stop")

    def remove(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "-t", _PATIENCE, "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, *, empty=False, like=""):
        """The URL of a new database: with the schema of today, copied from one made once.

        `like` is the URL of another, which nobody uses now, to be copied whole.
        """
        template = _name_in(like) or "template1"
        if not (empty or like):
            template = self._template = self._template or self._made_template()
        self._made += 1
        name = f"gatepost_{self._made}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def _made_template(self):
        """Who stands still in the middle of that is cut off by the server, and begins again."""
        with contextlib.suppress(SQLAlchemyError):
            return self._make_template()
        return self._make_template()

    def _make_template(self):
        from gatepost.store.connection import postgresql_engine
        from gatepost.store.schema import migrate

        self._execute("DROP DATABASE IF EXISTS gatepost_template WITH (FORCE)")
        self._execute("CREATE DATABASE gatepost_template TEMPLATE template1")
        engine = postgresql_engine(self.admin_url("gatepost_template"), writes=True)
        try:
            migrate(engine)
        finally:
            engine.dispose()
        return "gatepost_template"

    def _execute(self, sql):
        with psycopg.connect(self.admin_url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def drop(self, url):
        """Removes a database, whoever is still connected."""
        name = _name_in(url)
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, name):
        return f"postgresql://gatepost@127.0.0.1:{self.port}/{name}"

    def admin_url(self, name):
        """The same for ourselves."""
        return self.url(name)

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
