"""Chores go on, and end when they are told to."""

import asyncio

import pytest

from gatepost.app.housekeeping import Chore, _pause


@pytest.mark.parametrize("steps", range(5))
async def test_a_chore_that_is_woken_as_it_is_to_end_ends(steps):
    """Whichever comes first, and however closely: a stop once waited nine seconds for it."""
    woken = asyncio.Event()

    async def nothing():
        pass

    chore = Chore("withdrawals", 60.0, nothing, woken)

    async def repeat():
        while True:
            await _pause(chore)

    task = asyncio.get_running_loop().create_task(repeat())
    await asyncio.sleep(0)
    woken.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done
