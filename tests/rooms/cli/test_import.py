"""`gatepost consent import`: a file into the ledger."""

import csv

import pytest

from gatepost.cli import consent_import

HEAD = "address,basis,event_at,confirmed_at,withdrawn_at,note\n"
FLAGS = ("--source", "web", "--stream", "newsletter")


@pytest.fixture(autouse=True)
def _source(site):
    site.add_source("web", "--streams", "newsletter,club")


def load(site, text, *words, status=0, flags=FLAGS):
    file = site.file("people.csv", text)
    answer = site.run("consent", "import", file, *flags, *words)
    assert answer.status == status, answer
    return answer


def rejects(site, name="people.csv.rejects.csv"):
    with (site.folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.both_engines
def test_each_row_becomes_what_it_says(site):
    said = load(
        site,
        HEAD
        + "a@kund.example,form-checkbox,2024-01-01,,,\n"
        + "b@kund.example,double-opt-in,2024-01-01T10:00:00Z,,,\n"
        + "c@kund.example,double-opt-in,2024-01-01T10:00:00Z,2024-01-01T10:05:00Z,,\n"
        + "d@kund.example,purchased-list,,,,\n"
        + "e@kund.example,,,,2024-05-01,\n",
    ).out
    assert "4 grants and 1 withdrawals recorded" in said
    assert "never counts: 1" in said
    reasons = {who: site.standing(f"{who}@kund.example")["reason"] for who in "abcde"}
    assert reasons == {
        "a": "consented",
        "b": "unconfirmed",  # JU-17
        "c": "consented",
        "d": "forbidden-source",  # HS-14
        "e": "withdrawn",
    }
    assert site.standing("c@kund.example")["since"] == "2024-01-01T10:05:00.000Z"


def test_refused_rows_are_kept_with_line_and_reason(site):
    answer = load(
        site,
        HEAD
        + "a@kund.example,form-checkbox,,,,\n"
        + 'nobody,form-checkbox,2024-01-01,,,"a, b"\n'
        + "\n"
        + "c@kund.example,form-checkbox,2999-01-01,,,\n"
        + "d@kund.example,magic,2024-01-01,,,\n"
        + "e@kund.example,,,,,\n"
        + "f@kund.example,form-checkbox,2024-01-01\n"
        + "g@kund.example,form-checkbox,yesterday,,,\n"
        + "h@kund.example,form-checkbox,2024-01-01,,,\n",
        status=1,
    )
    assert "refused: 7" in answer.out
    rows = rejects(site)
    assert [(row["line"], row["reason"].partition(":")[0]) for row in rows] == [
        ("2", "the basis form-checkbox needs the time of the act"),
        ("3", "no address"),
        ("5", "event_at '2999-01-01' is in the future"),
        ("6", "unknown basis 'magic'"),
        ("7", "no basis"),
        ("8", "the row has 3 fields, the heading 6"),
        ("9", "event_at 'yesterday' is no ISO 8601 time"),
    ]
    assert rows[1]["note"] == "a, b"
    assert site.kinds("a@kund.example") == []
    assert site.kinds("h@kund.example") == ["granted"]


def test_the_corrected_rejects_can_be_imported(site):
    load(site, HEAD + "a@kund.example,form-checkbox,,,,\n", status=1)
    file = site.folder / "people.csv.rejects.csv"
    file.write_text(file.read_text().replace("form-checkbox,,", "form-checkbox,2024-01-01,"))
    site.ok("consent", "import", file, *FLAGS)
    assert site.standing("a@kund.example")["reason"] == "consented"


@pytest.mark.both_engines
def test_the_same_file_twice_adds_nothing(site, monkeypatch):
    monkeypatch.setattr(consent_import, "BATCH", 3)
    text = (
        HEAD
        + "a@kund.example,form-checkbox,2024-01-01,,,\n"
        + "A@KUND.example,form-checkbox,2024-01-01,,,\n"  # the same person, the same act
        + "a@kund.example,form-checkbox,2024-02-01,,,\n"  # another act
        + "d@kund.example,purchased-list,,,,\n"
        + "b@kund.example,form-checkbox,2024-01-01,,2024-03-01,\n"
        + "b@kund.example,form-checkbox,2024-04-01,,,came to the fair\n"
        + "a@kund.example,form-checkbox,2024-01-01,,,\n"
    )
    load(site, text)
    before = {who: site.kinds(f"{who}@kund.example") for who in "abd"}
    assert before == {
        "a": ["granted", "granted"],
        "b": ["withdrawn", "granted", "resubscribed"],
        "d": ["granted"],
    }
    site.add_source("web", "--streams", "newsletter,club")
    site.run("source", "add", "web", "--text-file", site.file("new.txt", "A new text"))
    assert load(site, text, "--json").json["known"] == 8
    assert {who: site.kinds(f"{who}@kund.example") for who in "abd"} == before


@pytest.mark.both_engines
def test_leaving_comes_first_wherever_it_stands_in_the_file(site, monkeypatch):
    monkeypatch.setattr(consent_import, "BATCH", 1)
    load(
        site,
        HEAD
        + "a@kund.example,form-checkbox,2024-05-01,,,\n"
        + "b@kund.example,form-checkbox,2024-01-01,,,\n"
        + "a@kund.example,,,,2024-03-01,\n",
        status=1,
    )
    (row,) = rejects(site)
    assert "the person left on 2024-03-01" in row["reason"]
    assert site.standing("a@kund.example")["state"] == "withdrawn"
    assert site.standing("b@kund.example")["verdict"] == "deliver"


@pytest.mark.both_engines
def test_who_left_comes_back_with_a_note_only(site):
    """HR-8."""
    site.ok("consent", "withdraw", "a@kund.example", "--stream", "newsletter")
    row = "a@kund.example,form-checkbox,2024-01-01,,,\n"
    load(site, HEAD + row)  # older: on record, and lifts nothing
    assert site.standing("a@kund.example")["reason"] == "withdrawn"


def test_a_wrong_basis_does_not_keep_a_withdrawal_from_being_recorded(site):
    load(site, HEAD + "a@kund.example,magic,2024-01-01,,2024-02-01,\n", status=1)
    assert site.kinds("a@kund.example") == ["withdrawn"]


def test_flags_give_what_rows_do_not_say(site):
    site.add_source("fair", "--streams", "club")
    load(
        site,
        "E-Mail;stream;source;categories\na@kund.example;;;\nb@kund.example;club;fair;shoes|hats\n",
        "--basis", "written", "--at", "2024-01-01",
    )  # fmt: skip
    assert site.standing("a@kund.example")["source"] == "web"
    assert site.standing("b@kund.example", "club")["source"] == "fair"
    assert site.standing("b@kund.example", "club")["categories"] == ["hats", "shoes"]


def test_columns_are_renamed(site):
    text = "Mail,Signup\na@kund.example,2024-01-01\n"
    load(
        site, text, "--map", "address=Mail", "--map", "event_at=signup", "--basis", "written",
    )  # fmt: skip
    assert site.standing("a@kund.example")["reason"] == "consented"


def test_a_source_is_for_its_streams(site):
    site.add_source("fair", "--streams", "club")
    text = HEAD + "a@kund.example,written,2024-01-01,,,\n"
    load(site, text, flags=("--source", "fair", "--stream", "newsletter"), status=1)
    assert "collects for club" in rejects(site)[0]["reason"]


def test_a_dry_run_records_nothing_and_says_the_same(site):
    text = (
        HEAD
        + "a@kund.example,form-checkbox,2024-05-01,,,\n"
        + "b@kund.example,form-checkbox,2024-05-01,,,\n"
        + "a@kund.example,,,,2024-03-01,\n"
    )
    dry = load(site, text, "--dry-run", "--json", status=1).json
    assert site.kinds("a@kund.example") == []
    assert site.kinds("b@kund.example") == []
    real = load(site, text, "--json", status=1).json
    assert (dry.pop("dry_run"), real.pop("dry_run")) == (True, False)
    assert dry == real
    assert real["grants"] == real["withdrawals"] == real["refused"] == 1


def test_rejects_go_where_they_are_wanted(site):
    load(site, HEAD + "nobody,,,,,\n", "--rejects", site.folder / "bad.csv", status=1)
    assert rejects(site, "bad.csv")[0]["address"] == "nobody"
    file = site.folder / "people.csv"
    assert "--rejects" in site.refused("consent", "import", file, *FLAGS, "--rejects", file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"address\n", "nothing below the heading"),
        (b"name,age\nAnna,7\n", "--map address=COLUMN"),
        (b"address,address\na,b\n", "2 columns"),
        ("address,då\na@kund.example,hej\n".encode("latin-1"), "--encoding"),
        ("address\na@kund.example\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_that_is_none_says_why_and_records_nothing(site, content, said):
    file = site.file("people.csv", content)
    answer = site.refused(
        "consent", "import", file, *FLAGS, "--basis", "written", "--at", "2024-01-01"
    )
    assert said in answer
    assert site.run("consent", "show", "a@kund.example").status == 1
    assert not list(site.folder.glob("*rejects*"))


def test_another_encoding_is_read(site):
    file = site.file("people.csv", "address,note\na@kund.example,hej då\n", "windows-1252")
    words = ("--encoding", "windows-1252", "--basis", "written", "--at", "2024-01-01")
    site.ok("consent", "import", file, *FLAGS, *words)
    (event,) = site.ok("consent", "show", "a@kund.example", "--json").json["events"]
    assert event["note"] == "hej då"


def test_a_byte_order_mark_is_no_part_of_a_name(site):
    load(site, "\ufeffaddress,basis,event_at\na@kund.example,written,2024-01-01\n")
    assert site.standing("a@kund.example")["reason"] == "consented"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--source", "nothing"), "there are web"),
        (("--stream", "nothing"), "club, newsletter"),
        (("--stream", "receipts"), "needs no consent"),
        (("--basis", "magic"), "form-checkbox"),
        (("--at", "soon"), "ISO 8601"),
        (("--map", "address"), "name=column"),
        (("--map", "colour=red"), "none of the names"),
        (("--map", "address=Mail"), "there is no column 'Mail'"),
        (("--preset", "abacus"), "mailchimp"),
        (("--encoding", "klingon"), "klingon"),
        (("--basis", "written", "--bought"), "customer"),
    ],
)
def test_what_an_import_cannot_be_told(site, words, said):
    file = site.file("people.csv", "address\na@kund.example\n")
    assert said in site.refused("consent", "import", file, *words)


def test_a_missing_file(site):
    assert "No such file" in site.refused("consent", "import", site.folder / "none.csv", *FLAGS)


def test_an_export_of_mailchimp(site):
    load(
        site,
        '"Email Address",OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,UNSUB_TIME,CLEAN_TIME,LEID\n'
        "a@kund.example,2024-01-01 10:00:00,192.0.2.1,2024-01-01 10:05:00,,,1\n"
        "b@kund.example,2024-01-01 10:00:00,,2024-01-01 10:05:00,2024-02-01 00:00:00,,2\n"
        "c@kund.example,2024-01-01 10:00:00,,2024-01-01 10:05:00,,2024-02-01 00:00:00,3\n",
        "--preset", "mailchimp", "--basis", "double-opt-in", status=1,
    )  # fmt: skip
    assert site.standing("a@kund.example")["verdict"] == "deliver"
    assert site.standing("b@kund.example")["reason"] == "withdrawn"
    assert site.kinds("c@kund.example") == []
    assert "bounces" in rejects(site)[0]["reason"]
    (event,) = site.ok("consent", "show", "a@kund.example", "--json").json["events"]
    assert event["ip"] == "192.0.2.1"


def test_an_export_that_knows_only_that_somebody_left(site):
    text = "Email,Unsubscribed from all email\na@kund.example,true\nb@kund.example,\n"
    words = ("--preset", "hubspot", "--basis", "newsletter-form", "--at", "2024-01-01")
    for _ in range(2):  # twice is once
        load(site, text, *words)
        assert site.kinds("a@kund.example") == ["withdrawn"]
        assert site.kinds("b@kund.example") == ["granted"]


def test_staff_bring_people_back_in_bulk_each_with_an_explanation(site):
    """HR-8, HR-4, E5: basis and explanation, and an act that is newer than the opt-out."""
    for who in "abcd":
        row = f"{who}@kund.example,form-checkbox,2024-01-01,,2024-03-01,\n"
        load(site, HEAD + row)
    load(
        site,
        "address,basis,event_at,explanation\n"
        "a@kund.example,form-checkbox,2024-04-01,signed up again at the fair\n"
        "b@kund.example,form-checkbox,2024-02-01,signed up again at the fair\n"
        "c@kund.example,,2024-04-01,signed up again at the fair\n"
        "d@kund.example,form-checkbox,2024-04-01,\n",
        status=1,
    )
    assert site.kinds("a@kund.example")[-1] == "resubscribed"
    assert site.standing("a@kund.example")["verdict"] == "deliver"
    for who in "bcd":
        assert site.standing(f"{who}@kund.example")["reason"] == "withdrawn"
    said = {row["address"][0]: row["reason"] for row in rejects(site)}
    assert "what they did before that is no return" in said["b"]
    assert "no basis" in said["c"]
    assert "say in a note how they came back" in said["d"]


@pytest.mark.both_engines
def test_a_dry_run_sees_its_own_rows_across_batches(site, monkeypatch):
    monkeypatch.setattr(consent_import, "BATCH", 1)
    text = (
        HEAD
        + "a@kund.example,form-checkbox,2024-05-01,,,came to the fair\n"
        + "a@kund.example,form-checkbox,2024-05-01,,,came to the fair\n"
        + "a@kund.example,form-checkbox,2024-06-01,,,\n"
        + "a@kund.example,,,,2024-03-01,\n"
        + "a@kund.example,,,,2024-03-01,\n"
    )
    dry = load(site, text, "--dry-run", "--json").json
    assert (dry["grants"], dry["withdrawals"], dry["known"]) == (2, 1, 2)
    assert site.kinds("a@kund.example") == []
    real = load(site, text, "--json").json
    assert real == {**dry, "dry_run": False}
