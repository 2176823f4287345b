"""The real program in processes that kill themselves (SIGKILL) at a named point.

    with Nursery() as nursery:
        gateway = Mortal(folder, nursery, upstream_port=up.port)
        gateway.start(death="accept/committed")     # `gatepost serve`, doomed
        ...
        gateway.process.wait()                      # -9
        gateway.start()                             # and again, to live

One process loads all rooms once; each program is a fork of it that runs gatepost's own `main`, so
that a start costs what the program's start costs and not what Python's does. `support.deaths`
has the points. What the program does every few minutes it does at once here.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from support.program import Program

TESTS = Path(__file__).parents[1]


class Nursery:
    """The process that all programs are forks of."""

    def __enter__(self):
        self._door = threading.Lock()
        path = [TESTS, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.dying"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONFAULTHANDLER": "1"},
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder, log, words, doom=(), lease=0.0):
        """Starts gatepost with these arguments."""
        order = {"folder": str(folder), "log": str(log), "words": words}
        order |= {"doom": doom, "lease": lease}
        return Offspring(self, self.ask(order))

    def ask(self, order):
        """Safe to call from any thread."""
        with self._door:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


class Offspring:
    """One program, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, nursery, pid):
        self._nursery = nursery
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            self.returncode = self._nursery.ask({"poll": self.pid})
        return self.returncode

    def wait(self, seconds=90):
        for _ in range(int(seconds * 200)):
            if self.poll() is not None:
                return self.returncode
            time.sleep(0.005)
        raise TimeoutError(f"process {self.pid} lives on")

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Mortal(Program):
    """A `Program` whose start may name the point of its death.

    `lease` is how many seconds it holds rows without renewing that; the product's own if 0.
    """

    def __init__(self, folder, nursery, *, lease=0.0, **more):
        super().__init__(folder, **more)
        self._nursery = nursery
        self._lease = lease

    def start(self, death="", *fate):
        """`fate` is what comes at that point (`support.deaths.doom`), or that it is killed."""
        words = ["--config", str(self.config), "serve", *self.options]
        doom = [death, *fate] if death else []
        self.process = self._nursery.run(self.folder, self.log_file, words, doom, self._lease)
        if death:
            self._wait_until_ready_or_over(f"{fate[0] if fate else 'killed'} at {death}\n")
        else:
            self.wait_until_ready()

    def command_dies(self, death, *words):
        """Runs a command that is to die at that point."""
        words = ["--config", str(self.config), *map(str, words)]
        process = self._nursery.run(self.folder, self.log_file, words, [death])
        assert process.wait() == -signal.SIGKILL, self.log()[-3000:]

    def wait_for_death(self, seconds=90):
        """Returns when the program has died at its point, and of nothing else."""
        assert self.process.wait(seconds) == -signal.SIGKILL, self.log()[-3000:]

    def _wait_until_ready_or_over(self, last_words):
        for _ in range(9000):
            if self.process.poll() is not None or self.is_ready() or last_words in self.log():
                return
            time.sleep(0.01)
        raise RuntimeError(f"gatepost is not ready:\n{self.log()}")


def main():
    """The nursery's life: orders come by line, until nobody is there to give them."""
    _learn()
    children = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            answer = _poll(children, order["poll"])
        else:
            answer = os.fork()
            if not answer:
                _live(order)
            children[answer] = None
        print(json.dumps(answer), flush=True)
    for pid, status in children.items():
        if status is None:
            os.kill(pid, signal.SIGKILL)


def _learn():
    """Loads what every start loads, and compiles the templates once for all forks."""
    import jinja2

    import gatepost.__main__
    import gatepost.app.serving
    import gatepost.cli.serve  # noqa: F401  the same name, another module
    from gatepost.app.texts import Texts
    from gatepost.store.engine import Store
    from support import deaths  # noqa: F401

    jinja2.Environment.compile = _remembered(jinja2.Environment.compile)
    Texts(None)
    with tempfile.TemporaryDirectory() as folder:
        Store.open("", Path(folder) / "data").close()


def _remembered(compile_template):
    known = {}

    def remembered(environment, source, name=None, filename=None, **more):
        if not isinstance(source, str):
            return compile_template(environment, source, name, filename, **more)
        key = source, name, filename, *more.items()
        if key not in known:
            known[key] = compile_template(environment, source, name, filename, **more)
        return known[key]

    return remembered


def _poll(children, pid):
    if children[pid] is None:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children[pid] = os.waitstatus_to_exitcode(status)
    return children[pid]


def _live(order):
    """The fork becomes the program."""
    from support import deaths

    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(order["folder"])
        deaths.hurry(order["lease"])
        if order["doom"]:
            deaths.doom(*order["doom"])
        sys.argv = ["gatepost", *order["words"]]
        import gatepost.__main__

        gatepost.__main__.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
