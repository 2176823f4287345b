"""`[server] user`: root binds ports and reads keys, and somebody else does the rest.

The tests need root, as Postfix's do, and an interpreter that other users may run.
"""

import os
import pwd
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import pytest

import gatepost
from gatepost.store.instance import only_instance
from gatepost.store.link_keys import rotate
from gatepost.store.private import leave_to_owner
from support import dkim_keys
from support.certificates import make_certificate
from support.consents import granted
from support.private import write_private
from support.program import Program
from support.upstream import UpstreamThread
from support.watching import child_processes, mail, request, send, wait_until

USER = "nobody"
PACKAGES = os.pathsep.join((str(Path(gatepost.__file__).parents[1]), sysconfig.get_path("purelib")))
MORE = """
[[smtp]]
port = {low}
tls = "implicit"
certificate = "localhost.pem"
key = "localhost.key"

[[senders.acme.dkim]]
domain = "acme.example"
selector = "gp1"
key = "dkim.pem"
"""


def imports_for_others(python):
    """Whether another user could serve with this interpreter and these packages."""
    try:
        done = subprocess.run(
            [python, "-c", "import gatepost.app.gateway"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": PACKAGES}, cwd="/",
            user=USER, group="nogroup", extra_groups=[], capture_output=True, check=False,
        )  # fmt: skip
    except OSError:
        return False
    return done.returncode == 0


def find_python():
    version = sysconfig.get_python_version()
    for name in (sys.executable, f"/usr/bin/python{version}", shutil.which(f"python{version}")):
        if name and imports_for_others(name):
            return name
    return None


PYTHON = find_python() if os.geteuid() == 0 else None
if PYTHON is None and not os.environ.get("CI"):
    pytest.skip("needs root, and an interpreter that others may run", allow_module_level=True)


class Served(Program):
    """A gateway that is started by root in a folder that others may pass."""

    def __init__(self, **more):
        folder = Path(mkdtemp(prefix="gatepost-privileges-"))
        folder.chmod(0o755)
        super().__init__(folder, store_url="", **more)  # which the program makes itself
        self.config.chmod(0o644)  # whatever our umask

    def command(self):
        return ["env", f"PYTHONPATH={PACKAGES}", PYTHON, *super().command()[1:]]

    def become(self, user, group=""):
        text = self.config.read_text()
        who = f'user = "{user}"\ngroup = "{group}"\n'
        self.config.write_text(text.replace("[server]\n", f"[server]\n{who}", 1))

    def __exit__(self, *exception):
        try:
            super().__exit__(*exception)
        finally:
            shutil.rmtree(self.folder)


def low_port():
    """A free port that only root may bind."""
    for port in range(1023, 600, -1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port below 1024")


def status(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def is_somebody_else(pid):
    """Whether a process is the user in every respect, and can be nobody else."""
    entry = pwd.getpwnam(USER)
    shown = status(pid)
    assert shown["Uid"] == [str(entry.pw_uid)] * 4
    assert shown["Gid"] == [str(entry.pw_gid)] * 4
    assert set(map(int, shown["Groups"])) <= set(os.getgrouplist(USER, entry.pw_gid))
    for kind in ("CapEff", "CapPrm", "CapAmb"):
        assert int(shown.get(kind, ["0"])[0], 16) == 0
    assert shown.get("NoNewPrivs", ["1"]) == ["1"]
    return True


@pytest.fixture(params=[(), ("--workers", "2")], ids=["alone", "workers"])
def served(request):
    """Running as nobody, with keys that only root can read and a port that only root can bind."""
    with UpstreamThread() as upstream:
        low = low_port()
        gateway = Served(
            upstream_port=upstream.port, more=MORE.format(low=low), options=request.param
        )
        gateway.low = low
        certificate, _ = make_certificate(gateway.folder, "localhost")
        certificate.chmod(0o644)
        write_private(gateway.folder / "dkim.pem", dkim_keys.PEM)
        gateway.become(USER)
        with gateway:
            yield gateway, upstream


def test_everything_works_as_somebody_else(served):
    gateway, upstream = served
    alone = not gateway.options
    workers = [gateway.process.pid] if alone else child_processes(gateway.process)
    assert len(workers) == (1 if alone else 2)
    wait_until(lambda: gateway.log().count('"started"') == len(workers), gateway)
    assert all(map(is_somebody_else, workers))
    data = gateway.folder / "data"
    uid = pwd.getpwnam(USER).pw_uid
    files = found_in(data)
    assert {name for name, found in files if found.st_uid != uid} == set()
    assert {name for name, found in files if found.st_mode & 0o077} == set()
    assert len(files) > 5
    gateway.record({"anna@example.org": [granted()]})
    assert send(gateway, ["anna@example.org"], mail("As somebody else"))[0] == 250
    wait_until(lambda: upstream.taken, gateway)
    assert b"DKIM-Signature" in upstream.taken[0].content  # with a key that only root can read
    context = ssl.create_default_context(cafile=gateway.folder / "localhost.pem")
    with smtplib.SMTP_SSL("localhost", gateway.low, context=context) as client:
        assert client.noop()[0] == 250
    assert request("GET", f"http://127.0.0.1:{gateway.http_port}/healthz") == 200
    assert request("GET", f"http://127.0.0.1:{gateway.admin_port}/metrics") == 200
    if alone:
        reload_cannot_read_what_root_can(gateway)
    else:
        a_worker_that_dies_comes_back_as_somebody_else(gateway, workers)


def found_in(folder):
    """Each file and folder: its name, and what is known of it; it runs, and some come and go."""
    files = []
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            files.append((path.name, path.stat()))
    return files


def reload_cannot_read_what_root_can(gateway):
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration not reloaded" in gateway.log(), gateway)
    assert "dkim.pem" in gateway.log()
    assert "Permission denied" in gateway.log()
    assert send(gateway, ["anna@example.org"], mail("Still here"))[0] == 250
    for name in ("dkim.pem", "localhost.key"):
        os.chown(gateway.folder / name, 0, pwd.getpwnam(USER).pw_gid)
        (gateway.folder / name).chmod(0o640)
    gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in gateway.log(), gateway)


def a_worker_that_dies_comes_back_as_somebody_else(gateway, workers):
    assert status(gateway.process.pid)["Uid"][0] == "0"  # so that it can start another one
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: gateway.log().count('"started"') == 3, gateway)
    again = child_processes(gateway.process)
    assert len(again) == 2
    assert all(map(is_somebody_else, again))


def refused(gateway, **how):
    """What a start that must fail says, and its status."""
    done = subprocess.run(
        gateway.command(), cwd=gateway.folder, capture_output=True, text=True, timeout=300,
        check=False, **how,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def stopped():
    gateway = Served(upstream_port=1)
    yield gateway
    shutil.rmtree(gateway.folder)


@pytest.mark.parametrize(
    ("user", "group", "said"),
    [
        ("nobody-of-that-name", "", "adduser --system --group nobody-of-that-name"),
        (USER, "no-such-group", 'there is no group "no-such-group"'),
        ("root", "", "root keeps every privilege"),
        ("", "daemon", "name the user, too"),
    ],
)
def test_an_account_that_cannot_be_had_is_said(stopped, user, group, said):
    stopped.become(user, group)
    code, text = refused(stopped)
    assert code == 2
    assert said in text
    assert not (stopped.folder / "data").exists()


def test_a_folder_of_somebody_else_is_said_with_the_cure(stopped):
    stopped.become(USER)
    with stopped.store():
        pass  # made by root
    code, text = refused(stopped)
    assert code == 2
    assert "belongs to root, not to nobody: run chown -R nobody:" in text


def test_what_root_makes_in_the_folder_of_the_service_is_the_services(stopped):
    """`sudo gatepost keys rotate` would leave it with keys that it cannot read."""
    data, user = stopped.folder / "data", pwd.getpwnam(USER)
    data.mkdir(mode=0o700)
    os.chown(data, user.pw_uid, user.pw_gid)
    with stopped.store() as store:
        rotate(data / "keys", store.now())
        with only_instance(data):
            owners = {name: (found.st_uid, found.st_gid) for name, found in found_in(data)}
    assert {"gatepost.db-wal", "gatepost.lock", "serve.lock", "links.json"} <= owners.keys()
    assert set(owners.values()) == {(user.pw_uid, user.pw_gid)}


def test_root_gives_nothing_away_that_a_link_leads_to(stopped):
    data, user = stopped.folder / "data", pwd.getpwnam(USER)
    data.mkdir(mode=0o700)
    os.chown(data, user.pw_uid, user.pw_gid)
    roots = stopped.folder / "roots"
    roots.touch()
    (data / "serve.lock").symlink_to(roots)
    stopped.become(USER)
    code, text = refused(stopped)
    assert (code, "serve.lock" in text) == (3, True)
    (data / "serve.lock").unlink()
    (data / "serve.lock").hardlink_to(roots)
    code, text = refused(stopped)
    assert (code, "another name elsewhere" in text) == (2, True)
    assert roots.stat().st_uid == 0


def test_root_gives_nothing_away_in_a_folder_that_was_exchanged(stopped):
    """The keys' folder was a link to one of root's while the file was made, and is the user's."""
    data, user = stopped.folder / "data", pwd.getpwnam(USER)
    data.mkdir(mode=0o700)
    os.chown(data, user.pw_uid, user.pw_gid)
    roots = stopped.folder / "roots"
    with roots.open("w") as made:
        with suppress(FileNotFoundError):
            leave_to_owner(made.fileno(), data / "roots")
        (data / "roots").hardlink_to(roots)
        leave_to_owner(made.fileno(), data / "roots")
    assert roots.stat().st_uid == 0


def test_a_folder_of_somebody_else_where_a_gateway_may_run(stopped):
    with stopped.store():
        pass  # made by root
    code, text = refused(stopped, user=USER, group="nogroup", extra_groups=[])
    assert code == 3
    assert "data may be used by root only: run as that user" in text


def test_who_is_not_root_cannot_become_another(stopped):
    stopped.become("daemon")
    code, text = refused(stopped, user=USER, group="nogroup", extra_groups=[])
    assert code == 2
    assert "only root can become daemon" in text


def test_to_run_as_root_is_warned_of_and_so_is_an_empty_store(tmp_path):
    gateway = Program(tmp_path, upstream_port=1)
    with gateway:
        wait_until(lambda: "running as root" in gateway.log(), gateway)
        assert "nothing is on record yet, so bulk mail goes to nobody" in gateway.log()
    before = gateway.log()
    gateway.record({"anna@example.org": [granted()]})
    with gateway:
        wait_until(lambda: gateway.log().count("running as root") == 2, gateway)
        assert "nothing is on record" not in gateway.log().removeprefix(before)


def test_a_serving_process_leaves_no_core_and_cannot_be_looked_into():
    program = """if True:
        import ctypes, os, resource, subprocess, sys
        from gatepost.app.privileges import harden
        harden()
        libc = ctypes.CDLL(None)
        print(resource.getrlimit(resource.RLIMIT_CORE), libc.prctl(3, 0, 0, 0, 0),
              libc.prctl(39, 0, 0, 0, 0), oct(os.umask(0)))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(0, 0) 0 1 0o77"
