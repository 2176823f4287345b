"""Log lines in few writes, none lost and none out of order."""

import io
import threading

from gatepost.logfile import LogFile, Seldom


class Stream(io.StringIO):
    """Counts the times it is flushed."""

    flushed = 0

    def flush(self):
        self.flushed += 1


def test_a_line_goes_out_at_once_where_nobody_said_otherwise():
    stream = Stream()
    LogFile(stream).info("one")
    assert (stream.getvalue(), stream.flushed) == ("one\n", 1)


def test_lines_of_the_loop_wait_for_one_another():
    stream, calls = Stream(), []
    log = LogFile(stream)
    log.hold(calls.append)
    log.info("one")
    log.info("two")
    assert (stream.getvalue(), len(calls)) == ("", 1)
    calls.pop()()
    assert (stream.getvalue(), stream.flushed) == ("one\ntwo\n", 1)
    log.info("three")
    assert len(calls) == 1


def test_a_warning_waits_for_nothing_and_keeps_its_place():
    stream = Stream()
    log = LogFile(stream)
    log.hold(lambda _: None)
    log.info("one")
    log.warning("two")
    assert stream.getvalue() == "one\ntwo\n"


def test_another_thread_writes_at_once():
    stream = Stream()
    log = LogFile(stream)
    log.hold(lambda _: None)
    log.info("one")
    thread = threading.Thread(target=log.info, args=("two",))
    thread.start()
    thread.join()
    assert stream.getvalue() == "one\ntwo\n"


def test_at_the_end_nothing_is_held_any_more():
    stream = Stream()
    log = LogFile(stream)
    log.hold(lambda _: None)
    log.info("one")
    log.hold(None)
    log.info("two")
    assert stream.getvalue() == "one\ntwo\n"


def test_what_strangers_cause_by_the_thousand_is_said_a_few_times_a_minute():
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.unsaid("full") for _ in range(13)] == [0] * 10 + [None] * 3
    assert seldom.unsaid("TLS") == 0, "each kind by itself"
    now[0] = 59.0
    assert seldom.unsaid("full") is None
    now[0] = 60.0
    assert [seldom.unsaid("full") for _ in range(11)] == [4] + [0] * 9 + [None]
    for number in range(2 * Seldom.KINDS):
        seldom.unsaid(number)
    assert seldom.unsaid("full") == 0, "the table is bounded"
