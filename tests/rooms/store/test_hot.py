"""Hot statements: the same answers as SQLAlchemy gives, on both engines."""

import pytest
from sqlalchemy import String, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepost.store.hot import MAX_LIST, Hot, compile_once
from gatepost.store.spool import mark, put
from gatepost.store.tables.ledger import meta

BY_NAMES = (
    select(meta.c.name, meta.c.value)
    .where(
        meta.c.value != bindparam("not_value"),
        meta.c.name.in_(bindparam("names", expanding=True)),
        meta.c.value != "constant",
    )
    .order_by(meta.c.name)
    .limit(3)
)
ADD = insert(meta)
CHANGE = update(meta).where(meta.c.name == bindparam("of_name")).values(value="changed")
UPSERT = {
    name: dialect.insert(meta).on_conflict_do_update(
        index_elements=["name"], set_={"value": dialect.insert(meta).excluded.value}
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


def add(store, count):
    rows = [{"name": f"n{number:03}", "value": str(number % 7)} for number in range(count)]
    store.write_now(lambda tx: compile_once(ADD, tx.dialect).executemany(tx, rows))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 65, 200])
def test_many_rows_go_in(store, count):
    add(store, count)
    names = select(meta.c.name).where(meta.c.name.like("n%"))
    assert len(store.read_now(lambda tx: tx.connection.execute(names).all())) == count


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 100])
def test_a_list_of_any_length(store, count):
    add(store, 30)
    wanted = [f"n{number:03}" for number in range(count)]
    params = {"names": wanted, "not_value": "1"}
    found = store.read_now(lambda tx: compile_once(BY_NAMES, tx.dialect).rows(tx, params))
    expected = [name for name in wanted[:30] if int(name[1:]) % 7 != 1][:3]
    assert [name for name, _ in found] == expected


def test_a_list_that_is_too_long_is_said_so(tmp_path):
    hot = Hot(BY_NAMES, "sqlite")
    assert len(hot._bind({"names": ["x"] * MAX_LIST, "not_value": ""})[1]) == MAX_LIST + 4
    with pytest.raises(ValueError, match="longer"):
        hot._bind({"names": ["x"] * (MAX_LIST + 1), "not_value": ""})


def test_few_texts_are_made(tmp_path):
    hot = Hot(BY_NAMES, "sqlite")
    texts = {hot._bind({"names": ["x"] * size, "not_value": ""})[0] for size in range(1, 1025)}
    assert len(texts) == 11


def test_constants_are_filled_in_and_rows_counted(store):
    add(store, 3)
    count = store.write_now(
        lambda tx: compile_once(CHANGE, tx.dialect).execute(tx, {"of_name": "n001"})
    )
    assert count == 1
    found = store.read_now(
        lambda tx: tx.connection.execute(select(meta.c.value).where(meta.c.name == "n001")).scalar()
    )
    assert found == "changed"


@pytest.mark.parametrize("distinct", [False, True])
def test_a_later_row_wins(store, distinct):
    add(store, 20)
    rows = [{"name": f"n{number:03}", "value": f"new{number}"} for number in range(20)]
    if not distinct:
        rows += [{"name": "n003", "value": "newest"}]
    store.write_now(
        lambda tx: compile_once(UPSERT[tx.dialect], tx.dialect).executemany(
            tx, rows, distinct=distinct
        )
    )
    sql = select(meta.c.value).where(meta.c.name == "n003")
    found = store.read_now(lambda tx: tx.connection.execute(sql).scalar())
    assert found == ("new3" if distinct else "newest")


def test_what_cannot_be_hot_is_refused():
    with pytest.raises(ValueError, match="one list"):
        Hot(select(meta).where(meta.c.name.not_in(bindparam("x", expanding=True))), "sqlite")
    two = select(meta).where(
        meta.c.name.in_(bindparam("x", expanding=True)),
        meta.c.value.in_(bindparam("y", expanding=True)),
    )
    with pytest.raises(ValueError, match="one list"):
        Hot(two, "postgresql")


SET = (
    update(meta)
    .where(meta.c.name == bindparam("of_name"))
    .values(value=func.coalesce(bindparam("new", type_=String), meta.c.value))
)


@pytest.mark.parametrize("count", [1, 7, 8, 73, 200])
def test_many_rows_are_changed(store, count):
    """Each its own row, whatever the order, and nobody else's; what is absent changes nothing."""
    add(store, 201)
    rows = [
        {"of_name": f"n{number:03}", "new": f"new{number}" if number % 5 else None}
        for number in reversed(range(count))
    ]
    rows.append({"of_name": "nobody", "new": "lost"})
    store.write_now(lambda tx: compile_once(SET, tx.dialect).executemany(tx, rows))
    expected = {
        f"n{number:03}": f"new{number}" if number < count and number % 5 else str(number % 7)
        for number in range(201)
    }
    names = select(meta.c.name, meta.c.value).where(meta.c.name.like("n%"))
    found = store.read_now(lambda tx: dict(map(tuple, tx.connection.execute(names))))
    assert found == expected


def test_of_two_changes_of_one_row_the_later_one_stays(store):
    add(store, 20)
    rows = [{"of_name": f"n{number % 10:03}", "new": f"new{number}"} for number in range(20)]
    store.write_now(lambda tx: compile_once(SET, tx.dialect).executemany(tx, rows))
    sql = select(meta.c.value).where(meta.c.name == "n003")
    assert store.read_now(lambda tx: tx.connection.execute(sql).scalar()) == "new13"


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        (ADD, 64),
        (SET, 64),
        (mark._MARK, 64),
        (put._INSERT_RECIPIENT, 64),
        (CHANGE, 0),
        (BY_NAMES, 0),
    ],
)
def test_what_takes_many_rows_at_once(statement, count):
    for dialect in ("sqlite", "postgresql"):
        together = Hot(statement, dialect)._together
        statements = together.cut([(n,) for n in range(64)], distinct=True)[0] if together else []
        assert len(statements) == bool(count)
