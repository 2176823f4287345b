"""What `ledger verify` finds beyond the chain: forged events and erasures, tables, texts."""

import sqlite3
import threading

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from gatepost.store import kept, ledger, people, schema, sources
from gatepost.store.adoption import WITHOUT_PROOF, adopt
from gatepost.store.engine import DATABASE, Store
from gatepost.store.proof.inspection import differing
from support.ledgers import ATTESTED, PEOPLE, add_source, build, erased, fact, record, seal
from support.patient_stores import wait_for_long

ANNA = PEOPLE[0]


def run(store, sql, **values):
    store.write_now(lambda tx: tx.connection.execute(text(sql), values) and None)


def scalar(store, sql):
    return store.read_now(lambda tx: tx.connection.execute(text(sql)).scalar())


def whats(store, head=None):
    return " | ".join(one.what for one in ledger.inspect(store.read_now, head))


@pytest.fixture
def built(store):
    build(store)
    assert whats(store) == ""
    return store


def last_event(store):
    return scalar(store, "SELECT max(id) FROM event")


# Events that nobody recorded


PUT_IN = (
    "INSERT INTO event (id, subject, kind, recorded_ms, commitment, block, proof)"
    " SELECT :id, subject, :kind, recorded_ms, commitment, NULL, {proof} FROM event WHERE id = :of"
)


@pytest.mark.parametrize("proof", ["proof", "NULL", "commitment"])
def test_an_event_put_in_by_hand_is_never_sealed(built, proof):
    seal(built)
    one = last_event(built)
    forged = one + 1000
    run(built, PUT_IN.format(proof=proof), id=forged, kind="granted", of=one)
    assert built.write_now(ledger.seal_and_tell) == (0, (forged,))
    record(built, PEOPLE[1], fact("engaged", 8))
    assert built.write_now(ledger.seal_and_tell) == (1, (forged,))
    assert built.read_now(
        lambda tx: tx.connection.execute(text("SELECT id FROM event WHERE block IS NULL")).all()
    ) == [(forged,)]  # fmt: skip
    assert "no gateway recorded this" in whats(built)


def test_many_forged_events_do_not_keep_the_genuine_ones_waiting(store, monkeypatch):
    monkeypatch.setattr(ledger, "MAX_BLOCK", 3)
    record(store, ANNA, fact("granted"))
    forged = range(-8, 0)
    for number in forged:
        run(store, PUT_IN.format(proof="NULL"), id=number, kind="engaged", of=1)
    record(store, ANNA, *[fact("engaged", day) for day in range(3)])
    sealings = [store.write_now(ledger.seal_and_tell) for _ in range(3)]
    assert [one.sealed for one in sealings] == [3, 1, 0]
    assert sealings[-1].forged == tuple(forged)


def test_an_erasure_put_in_by_hand_is_found(built):
    """Somebody removes what was said, and writes an erasure that would explain it."""
    number = last_event(built)
    gone = scalar(built, f"SELECT subject FROM event WHERE id = {number}")
    run(built, "DELETE FROM event_payload WHERE event = :id", id=number)
    run(built, "DELETE FROM standing WHERE subject = :who", who=gone)
    run(built, "UPDATE subject SET address = NULL, erased_ms = 7 WHERE id = :who", who=gone)
    run(built, PUT_IN.format(proof="proof"), id=number + 1, kind="erased", of=number)
    assert "no gateway recorded this" in whats(built)


# Erasures that do not explain what is gone


def event_of(store, kind, address=ANNA):
    history = store.read_now(lambda tx: people.history(tx, address))
    return next(one.id for one in history.events if one.kind == kind)


def test_an_erasure_of_the_rest_explains_no_evidence_that_is_gone(store):
    record(store, ANNA, fact("granted"), fact("engaged", 1))
    record(store, ANNA, erased(2, "rest"))
    assert whats(store) == ""
    run(store, "DELETE FROM event_payload WHERE event = :id", id=event_of(store, "granted"))
    assert "the payload is gone, and no erasure says why" in whats(store)


def test_an_erasure_explains_nothing_that_came_after_it(store):
    record(store, ANNA, erased(2), fact("confirmed", 3), fact("engaged", 4))
    assert whats(store) == ""
    run(store, "DELETE FROM event_payload WHERE event = :id", id=event_of(store, "engaged"))
    assert "the payload is gone, and no erasure says why" in whats(store)


def test_an_erasure_of_the_words_of_an_erasure_is_found(store):
    record(store, ANNA, fact("granted"), erased(2, "rest"))
    run(store, "DELETE FROM event_payload WHERE event = :id", id=event_of(store, "erased"))
    assert "the payload is gone, and no erasure says why" in whats(store)


@pytest.mark.parametrize(
    ("extent", "kind", "found"),
    [("all", "granted", True), ("all", "engaged", True), ("rest", "engaged", True)],
)
def test_what_should_be_gone_is_found(store, extent, kind, found):
    record(store, ANNA, fact("granted"), fact("engaged", 1))
    number = event_of(store, kind)
    (salt, payload), = store.read_now(
        lambda tx: tx.connection.execute(
            text("SELECT salt, payload FROM event_payload WHERE event = :id"), {"id": number}
        ).all()
    )  # fmt: skip
    record(store, ANNA, erased(2, extent))
    assert whats(store) == ""
    run(store, "INSERT INTO event_payload VALUES (:id, :salt, :payload)",
        id=number, salt=salt, payload=payload)  # fmt: skip
    assert ("the payload should be gone" in whats(store)) is found


@pytest.mark.parametrize(
    ("extent", "due", "early"),
    [("all", 10, True), ("all", 9, False), ("all", None, False), ("rest", 10, False)],
)
def test_evidence_erased_before_it_was_due(store, extent, due, early):
    record(store, ANNA, fact("granted"))
    moment = None if due is None else fact("erased", due).at
    record(store, ANNA, erased(9, extent, rule="evidence-term", due=moment))
    assert ("before it was due" in whats(store)) is early


# People and what is derived


OF_ANNA = "(SELECT subject FROM event WHERE kind = 'transferred')"
OF_THE_ERASED = "(SELECT id FROM subject WHERE address IS NULL AND id > 0)"
BY_HAND = {
    "another address": (
        f"UPDATE subject SET address = 'm@kund.example' WHERE id = {OF_ANNA}",
        "the person's address was changed"),
    "no address": (
        f"UPDATE subject SET address = '' WHERE id = {OF_ANNA}", "address was changed"),
    "an address removed": (
        f"UPDATE subject SET address = NULL WHERE id = {OF_ANNA}", "the address is gone"),
    "an address brought back": (
        f"UPDATE subject SET address = 'p3@kund.example' WHERE id = {OF_THE_ERASED}",
        "the address should be gone"),
    "erased by hand": (
        f"UPDATE subject SET erased_ms = 7 WHERE id = {OF_ANNA}", "the time of erasure"),
    "an erasure undone": (
        f"UPDATE subject SET erased_ms = NULL WHERE id = {OF_THE_ERASED}", "time of erasure"),
    "another time of erasure": (
        f"UPDATE subject SET erased_ms = erased_ms + 1 WHERE id = {OF_THE_ERASED}", "erasure"),
    "a standing removed": ("DELETE FROM standing", "standing is not what"),
    "another standing": (
        "UPDATE standing SET state = '{}'", "standing is not what the events say"),
    "a standing that is none": ("UPDATE standing SET state = 'x'", "standing is not what"),
    "a withdrawal hidden": (
        "UPDATE standing SET withdrawn_ms = 5", "standing is not what the events say"),
    "another sender": ("UPDATE standing SET sender = 'other'", "standing is not what"),
    "a suppression removed": ("DELETE FROM suppression", "suppressions are not what"),
    "a suppression lifted": (
        "UPDATE suppression SET lifted_ms = since_ms", "suppressions are not what"),
    "a suppression added": (
        f"INSERT INTO suppression SELECT {OF_ANNA}, 'acme', 'all', 'manual', 5, NULL",
        "suppressions are not what"),
}  # fmt: skip


@pytest.mark.parametrize("change", BY_HAND)
def test_tables_changed_by_hand_are_found(built, change):
    sql, said = BY_HAND[change]
    run(built, sql)
    assert said in whats(built)


@pytest.mark.parametrize(
    "change", [one for one, (_, said) in BY_HAND.items() if "address" not in said]
)
def test_what_is_derived_is_derived_anew(built, change):
    """All but addresses, which no event holds; and nobody else's rows are touched."""
    run(built, BY_HAND[change][0])
    slices = list(differing(built.read_now))
    assert sum(len(ids) for _, ids in slices) >= 1
    for _, ids in slices:
        built.write_now(lambda tx, ids=ids: people.rebuild_subjects(tx, ids))
    assert whats(built) == ""
    assert list(differing(built.read_now)) == []


def test_a_ledger_of_many_slices_is_checked_to_its_end(store, monkeypatch):
    from gatepost.store.proof import chain

    monkeypatch.setattr(chain, "SLICE", 2)
    build(store)
    done = []
    assert list(ledger.inspect(store.read_now, None, done.append)) == []
    assert sum(done) == store.read_now(ledger.size)
    run(store, "UPDATE block SET digest = previous WHERE height = 3")
    assert "block or one of its events was changed" in whats(store)


# Sources and texts (JU-25, JU-30)


def write(store, function, *arguments, **named):
    return store.write_now(lambda tx: function(tx, *arguments, **named))


TEXTS = {
    "body": ("UPDATE consent_text SET body = 'I agree to all.'", "version '1' of source 'web'"),
    "digest": ("UPDATE consent_text SET sha256 = 'x'", "text version '1'"),
    "attestation": ("UPDATE consent_text SET pre_ticked = :yes", "text version '1'"),
    "in use again": ("UPDATE consent_text SET used = :no", "text version '1'"),
    "picture": ("UPDATE picture SET content = :octets", "text version '1'"),
    "picture removed": ("DELETE FROM picture", "text version '1' of source 'web' was changed"),
    "source": ("UPDATE source SET reconstructed = :yes", "source 'web' was changed"),
    "renamed": ("UPDATE source SET name = 'shop'", "source 'web' is gone"),
    "version renamed": ("UPDATE consent_text SET version = '2'", "'2' of source 'web' was added"),
}  # fmt: skip


@pytest.mark.parametrize("change", TEXTS)
def test_texts_changed_by_hand_are_found(store, change):
    add_source(store)
    record(store, ANNA, fact("granted", source="web", text_version="1"))
    assert whats(store) == ""
    sql, said = TEXTS[change]
    values = {"yes": True, "no": False, "octets": b"GIF"}
    run(store, sql, **{name: value for name, value in values.items() if f":{name}" in sql})
    assert said in whats(store)


def test_every_lawful_change_of_a_source_is_on_record(store):
    write(store, sources.add_source, "shop", kind="paper")
    assert whats(store) == ""
    version = write(store, sources.add_text, "shop", "Yes, write to me.")
    assert whats(store) == ""
    write(store, sources.attest, "shop", version, ATTESTED)
    assert whats(store) == ""
    write(
        store, sources.add_picture, "shop", version, name="a", media_type="image/png", content=b"1"
    )
    assert whats(store) == ""
    second = write(store, sources.add_text, "shop", "Yes, do.", attestations=ATTESTED)
    assert whats(store) == ""
    record(store, ANNA, fact("granted", source="shop", text_version=second))
    assert whats(store) == ""
    seal(store)
    assert whats(store) == ""


def test_a_lawful_change_does_not_cover_up_one_by_hand(store):
    add_source(store)
    run(store, "UPDATE consent_text SET body = 'I agree to all.'")
    write(store, sources.add_picture, "web", "1", name="b", media_type="image/png", content=b"2")
    record(store, ANNA, fact("granted", source="web", text_version="1"))
    assert "text version '1' of source 'web' was changed" in whats(store)


def test_what_is_recorded_of_sources_is_about_nobody(store):
    add_source(store)
    history = store.read_now(lambda tx: people.history_of_subject(tx, kept.NOBODY))
    assert {one.kind for one in history.events} == {"source-kept"}
    assert (history.address, history.standings, history.suppressions) == ("", (), ())


# A store of an earlier version


def test_an_older_ledger_is_taken_over_whole(tmp_path):
    """Sealed events are vouched for by their block; those that wait get a proof; texts, too."""
    with Store.open("", tmp_path) as store:
        record(store, ANNA, fact("granted"))
        seal(store)
        record(store, ANNA, fact("engaged", 1))
        head = store.read_now(ledger.head)
    with sqlite3.connect(tmp_path / DATABASE) as database:  # as it was before there were proofs
        database.execute("UPDATE event SET proof = NULL")
        database.execute(
            "INSERT INTO source (name, description, url, reconstructed, created_ms, sender, kind,"
            " streams, channel, categories, attested_by, attested_why)"
            " VALUES ('old', '', '', 0, 0, 'acme', 'form', '', 'e-mail', '', '', '')"
        )
    with Store.open("", tmp_path) as store:
        assert "source 'old' was added by hand" in whats(store)
        assert "no gateway recorded this" in whats(store)
        store.write_now(lambda tx: adopt(tx.connection, WITHOUT_PROOF, keys=tx.keys))
        assert whats(store, head) == ""
        seal(store)
        assert whats(store, head) == ""
        store.write_now(lambda tx: run_in(tx, "UPDATE event SET proof = NULL"))
        record(store, ANNA, fact("engaged", 2))
        run(store, "UPDATE event SET proof = NULL WHERE block IS NULL")
        store.write_now(lambda tx: adopt(tx.connection, "0006", keys=tx.keys))
        assert "no gateway recorded this" in whats(store)  # only once


def run_in(tx, sql):
    tx.connection.execute(text(sql))


def test_an_upgrade_hands_over_what_an_older_program_left(tmp_path):
    url = f"sqlite:///{tmp_path / DATABASE}"
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, WITHOUT_PROOF)
    found = []
    schema.migrate(engine, lambda _connection, revision: found.append(revision))
    schema.migrate(engine, lambda _connection, revision: found.append(revision))
    engine.dispose()
    assert found == [WITHOUT_PROOF]


def test_a_new_store_has_nothing_to_take_over(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / DATABASE}")
    found = []
    schema.migrate(engine, lambda _connection, revision: found.append(revision))
    engine.dispose()
    assert found == []


# Several gateways


def test_gateways_record_and_seal_at_once_and_the_ledger_is_whole(store_url, tmp_path, monkeypatch):
    """Nobody waits for a chain head; the sealers give way to each other."""
    wait_for_long(monkeypatch)
    with Store.open(store_url, tmp_path) as one, Store.open(store_url, tmp_path) as other:
        add_source(one)
        stop = threading.Event()

        def write_down(store, who):
            for number in range(25):
                facts = [fact("granted", number, source="web", text_version="1")]
                if number == 20:
                    facts.append(erased(number, "rest"))
                record(store, PEOPLE[(who + number) % 5], *facts, fact("engaged", number))

        def keep_sealing(store):
            while not stop.is_set():
                store.write_now(ledger.seal)

        writers = [threading.Thread(target=write_down, args=a) for a in ((one, 0), (other, 2))]
        sealers = [threading.Thread(target=keep_sealing, args=(store,)) for store in (one, other)]
        for thread in [*writers, *sealers]:
            thread.start()
        for thread in writers:
            thread.join()
        found = whats(other)  # beside the sealers
        stop.set()
        for thread in sealers:
            thread.join()
        seal(one)
        assert found == ""
        head = one.read_now(ledger.head)
        assert whats(other, head) == ""
        counted = "SELECT count(*) FROM event WHERE block IS NULL"
        assert scalar(other, counted) == 0
