"""Requests that are sent twice: the first answer stands, also where two gateways take them at once."""

import asyncio
import threading

from gatepost.store import api_keys
from gatepost.store.engine import Store
from support.patience import PATIENCE_SECONDS

KEY, NAME = "k", "crm-4711"


async def test_of_two_at_once_the_first_answer_stands(store_url, tmp_path):
    begun = threading.Event()

    def first(tx):
        api_keys.remember(tx, KEY, NAME, b"f", "w")
        begun.set()

    def second(tx):
        api_keys.remember(tx, KEY, NAME, b"f", "k")

    with Store.open(store_url, tmp_path) as one, Store.open(store_url, tmp_path) as two:
        writing = asyncio.create_task(one.write(first))
        assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        await two.write(second)  # on PostgreSQL it may meet a row that is not committed yet
        await writing
        found = await two.read(lambda tx: api_keys.repetition(tx, KEY, NAME, b"f"))
        assert found == api_keys.Repetition(same=True, outcome="w")
        altered = await one.read(lambda tx: api_keys.repetition(tx, KEY, NAME, b"g"))
        assert altered is not None
        assert not altered.same
