"""What one run hands to the next: kept while its settings are the same, and never lost to one that does not open."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from monitor.daemon.lasting import Kept, Lasting
from monitor.errors import StoreError


class Doors:
    """Opens things by name, and notes the order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.kept: Kept[str] = Kept()

    async def take(self, name: str, place: str, *, fails: bool = False) -> str:
        async def open_one(stack: AsyncExitStack) -> str:
            stack.callback(self.log.append, f"close {name}")
            if fails:
                raise StoreError(f"{name} does not open")
            self.log.append(f"open {name}")
            return name

        return await self.kept.take(name, place, open_one)


@pytest.fixture
def doors() -> Doors:
    return Doors()


async def test_same_settings_are_the_same_thing(doors: Doors) -> None:
    assert [await doors.take("a", "here") for _ in range(3)] == ["a", "a", "a"]
    assert doors.log == ["open a"]


async def test_new_one_is_open_before_the_old_one_is_closed(doors: Doors) -> None:
    await doors.take("a", "here")
    assert await doors.take("b", "there") == "b"
    assert doors.log == ["open a", "open b", "close a"]


async def test_one_place_is_left_before_it_is_taken_again(doors: Doors) -> None:
    await doors.take("a", "here")
    await doors.take("b", "here")
    assert doors.log == ["open a", "close a", "open b"]


async def test_one_that_does_not_open_leaves_what_is_held(doors: Doors) -> None:
    await doors.take("a", "here")
    with pytest.raises(StoreError):
        await doors.take("b", "there", fails=True)
    # What it had opened on the way is closed, and nothing else.
    assert doors.log == ["open a", "close b"]
    assert await doors.take("a", "here") == "a"
    assert doors.log == ["open a", "close b"]


async def test_one_that_does_not_open_in_the_same_place_leaves_it_free(doors: Doors) -> None:
    await doors.take("a", "here")
    with pytest.raises(StoreError):
        await doors.take("b", "here", fails=True)
    assert await doors.take("a", "here") == "a"
    assert doors.log == ["open a", "close a", "close b", "open a"]


async def test_closed_twice_is_closed_once(doors: Doors) -> None:
    await doors.take("a", "here")
    for _ in range(2):
        await doors.kept.close()
    assert doors.log == ["open a", "close a"]


async def test_store_is_closed_last() -> None:
    lasting = Lasting()
    log: list[str] = []

    async def hold(stack: AsyncExitStack, name: str) -> None:
        stack.callback(log.append, name)

    for name in ("store", "http", "broker"):
        await getattr(lasting, name).take(name, name, lambda stack, name=name: hold(stack, name))
    await lasting.close()
    assert log == ["http", "broker", "store"]
