"""Files as they come: the good rows are imported, the others kept with line and reason."""

import csv
import os

import pytest

from gatepost.cli import listfile
from gatepost.store import written

FLAGS = (
    "--source", "web", "--stream", "newsletter", "--basis", "newsletter-form", "--at", "2024-01-01",
)  # fmt: skip
GOOD = "good@kund.example"


@pytest.fixture(autouse=True)
def _source(site):
    site.add_source("web", "--streams", "newsletter,club")


def load(site, content, *words, status=1, flags=FLAGS):
    file = site.file("people.csv", content)
    answer = site.run("consent", "import", file, *flags, *words)
    assert answer.status == status, answer
    return answer


def rejects(site, encoding="utf-8"):
    path = site.folder / "people.csv.rejects.csv"
    with path.open(newline="", encoding=encoding, errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def is_in(site, address=GOOD):
    return site.kinds(address) == ["granted"]


# what the file holds, and the line and the reason of the row that is refused
BAD = [
    ("address,note\na@kund.example,hej då\n".encode("latin-1"), "2", "0xE5 cannot be read"),
    (b"address,note\na@kund.example," + b"x" * 10_000_000 + b"\n", "2", "longer than 128 KB"),
    (b'address,note\na@kund.example,"' + b"x" * 10_000_000 + b'"\n', "2", "longer than 128 KB"),
    (b"address,note\n" + b"x" * 3_000_000 + b"\n", "2", "longer than 128 KB"),
    (b"address,note\na@kund.example,a\0b\n", "2", "NUL"),
    (b'address,note\na@kund.example,"a\0b"\n', "2", "NUL"),
    (b'address,note\na@kund.example,"open\n', "2", "a quote is missing"),
    (b'address,note\na@kund.example,"open\nb@kund.example,"x"\n', "2", "a quote is missing"),
    (b'address,note\na@kund.example,"a" b\n', "2", "a quote is missing or out of place"),
    (b"address,note\na@kund.example\n", "2", "1 fields, the heading 2"),
    (b"address,note\n\n\na@kund.example,b,c\n", "4", "3 fields, the heading 2"),
    (b"address,note\nnobody,\n", "2", "no address"),
    (b'address,note\n"nobody\nat all",\n', "2", "no address"),
    (b"address,event_at\na@kund.example,2999-01-01\n", "2", "in the future"),
    (b"address,withdrawn_at\na@kund.example,2999-01-01\n", "2", "in the future"),
    (b"address,event_at\na@kund.example,0001-01-01T00:00:00+14:00\n", "2", "no ISO 8601 time"),
    (b"address,event_at\na@kund.example,1066-10-14\n", "2", "before there was mail"),
    (b"address,basis\na@kund.example,magic\n", "2", "unknown basis"),
    (b"address,stream\na@kund.example,receipts\n", "2", "no bulk stream"),
    (b"address,source\na@kund.example,elsewhere\n", "2", "there is no source"),
]


@pytest.mark.parametrize(("content", "line", "reason"), BAD)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_one_bad_row_does_not_spoil_the_others(site, content, line, reason, end):
    content += GOOD.encode() + b"," + b"\n"
    load(site, content.replace(b"\n", end))
    (row, *others) = rejects(site)
    assert (row["line"], len(others)) == (line, 0)
    assert reason in row["reason"]
    assert is_in(site)


def test_a_quote_that_is_never_closed_costs_one_row(site):
    lines = [f"p{number}@kund.example,y" for number in range(3000)]
    lines[1000] = 'open@kund.example,"y'
    load(site, "address,note\n" + "\n".join(lines))
    (row,) = rejects(site)
    assert (row["line"], row["address"], row["note"]) == ("1002", "open@kund.example", '"y')
    assert is_in(site, "p1001@kund.example")
    assert is_in(site, "p2999@kund.example")


def test_a_field_may_go_on_for_lines(site):
    load(site, f'address,note\n{GOOD},"one\r\ntwo"\nnobody,"x\ny"\n')
    (event,) = site.ok("consent", "show", GOOD, "--json").json["events"]
    assert event["note"] == "one\r\ntwo"
    assert [row["line"] for row in rejects(site)] == ["4"]


def test_bytes_that_could_not_be_read_can_be_imported_from_the_rejects(site):
    load(site, "address,note\na@kund.example,hej då\n".encode("latin-1") + f"{GOOD},\n".encode())
    file = site.folder / "people.csv.rejects.csv"
    assert "hej då".encode("latin-1") in file.read_bytes()
    site.ok("consent", "import", file, *FLAGS, "--encoding", "windows-1252")
    (event,) = site.ok("consent", "show", "a@kund.example", "--json").json["events"]
    assert event["note"] == "hej då"


def test_rejects_are_written_as_the_file_is(site):
    load(
        site, "address,note\nnobody,hej då\n".encode("windows-1252"), "--encoding", "windows-1252"
    )  # fmt: skip
    assert rejects(site, "windows-1252")[0]["note"] == "hej då"
    load(site, "address,note\nnobody,hej då\n".encode("utf-16"), "--encoding", "utf-16")
    assert rejects(site)[0]["note"] == "hej då"


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_separators(site, separator):
    text = f"address,event_at\n{GOOD},2024-05-01\n".replace(",", separator)
    load(site, text, status=0)
    assert site.standing(GOOD)["since"].startswith("2024-05-01")


def test_duplicate_rows_are_recorded_once(site):
    said = load(site, "address\n" + f"{GOOD}\n{GOOD.upper()}\n" * 50, "--json", status=0).json
    assert (said["grants"], said["known"], said["refused"]) == (1, 99, 0)
    assert is_in(site)


def test_places_that_cannot_be_written_to_are_told_first(site):
    file = site.file("people.csv", f"address\nnobody\n{GOOD}\n")
    for place in (site.folder, site.folder / "no" / "where.csv"):
        assert str(place) in site.refused("consent", "import", file, *FLAGS, "--rejects", place)
    assert site.kinds(GOOD) == []


@pytest.mark.parametrize("name", ["", "none.csv"], ids=["folder", "missing"])
def test_files_that_are_none(site, name):
    assert str(site.folder) in site.refused("consent", "import", site.folder / name, *FLAGS)


def test_a_pipe_cannot_be_read_again(site):
    assert "save it" in site.refused("consent", "import", "-", *FLAGS, given="address\na@b.se\n")


def test_rejects_of_an_earlier_import_do_not_stay(site):
    load(site, "address\nnobody\n")
    load(site, f"address\n{GOOD}\n", status=0)
    assert not (site.folder / "people.csv.rejects.csv").exists()


def test_rejects_are_for_their_owner_and_in_the_register_of_files(site):
    load(site, f"address\n{GOOD}\n", status=0)
    with site.store() as store:
        assert store.read_now(written.files) == []
    load(site, "address\nnobody\n")
    with site.store() as store:
        (file,) = store.read_now(written.files)
    assert (file.path.name, file.kind) == ("people.csv.rejects.csv", written.REJECTS)
    assert (site.folder / "people.csv.rejects.csv").stat().st_mode & 0o777 == 0o600


def test_a_file_takes_little_memory_at_a_time(tmp_path):
    """What is read at once is bounded, whatever the file holds."""
    file = tmp_path / "long.csv"
    with file.open("wb") as out:
        out.write(b"address,note\n")
        out.writelines(b'"' + b"x" * 1_000_000 for _ in range(20))
        out.write(b"\n" + GOOD.encode() + b",\n")
    with listfile.open_sheet(file) as sheet:
        first, second = sheet.records()
    assert max(map(len, first.fields)) <= listfile.FIELD_LIMIT
    assert first.problem
    assert (second.line, second.fields[0]) == (3, GOOD)


def test_nothing_is_left_of_an_import_that_went_through(site):
    load(site, f"address\n{GOOD}\nnobody\n")
    with site.store() as store:
        rows = store.read_now(
            lambda tx: tx.cursor.execute("SELECT count(*) FROM import_progress").fetchone()
        )
    assert rows == (0,)


def test_unreadable_for_us(site):
    file = site.file("people.csv", f"address\n{GOOD}\n")
    file.chmod(0)
    if os.access(file, os.R_OK):  # root reads everything; a broken link nobody
        file.unlink()
        file.symlink_to(site.folder / "gone.csv")
    assert str(file) in site.refused("consent", "import", file, *FLAGS)
