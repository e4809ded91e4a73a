"""autoresearch/hub/pages/shelf.py: what many ask for at once is made once, and never kept for too long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from autoresearch.errors import HubError
from autoresearch.hub.pages import shelf
from autoresearch.hub.pages.shelf import Shelf


class Maker:
    """Makes a page each time, a different one."""

    def __init__(self, size: int = 1):
        self.count, self.size = 0, size

    async def __call__(self) -> bytes:
        self.count += 1
        await asyncio.sleep(0.005)
        return str(self.count).encode() * self.size


def test_shelf_makes_a_page_once_for_many() -> None:
    make = Maker()

    async def ask() -> set[bytes]:
        one = Shelf()
        return {*await asyncio.gather(*(one.fetch("/", 1, make) for _ in range(20)))}

    assert asyncio.run(ask()) == {b"1"}


@pytest.mark.parametrize(
    ("young_s", "old_s", "mark", "expected"),
    [(0.0, 60.0, 1, b"1"), (0.0, 60.0, 2, b"2"), (60.0, 60.0, 2, b"1"), (0.0, 0.0, 1, b"2")],
)
def test_shelf_keeps_a_page_until_something_happens_or_it_is_old(
    young_s: float, old_s: float, mark: int, expected: bytes
) -> None:
    make = Maker()

    async def ask() -> bytes:
        one = Shelf(young_s, old_s)
        await one.fetch("/", 1, make)
        return await one.fetch("/", mark, make)

    assert asyncio.run(ask()) == expected


def test_shelf_keeps_no_refusal_and_no_more_than_its_bytes() -> None:
    async def refuse() -> bytes:
        raise HubError(404, "nothing")

    async def ask() -> int:
        one, make = Shelf(60, 60), Maker(shelf.MOST_BYTES // 4)
        with pytest.raises(HubError):
            await one.fetch("/x", 1, refuse)
        assert await one.fetch("/x", 1, Maker()) == b"1"
        for place in range(6):
            await one.fetch(f"/{place}", 1, make)
        await one.fetch("/0", 1, make)  # gone by now
        await one.fetch("/5", 1, make)  # still there
        return make.count

    assert asyncio.run(ask()) == 7


def test_shelf_refuses_when_too_many_wait() -> None:
    async def ask() -> list[bytes | BaseException]:
        one, make = Shelf(), Maker()
        asked = (one.fetch(f"/{place}", 1, make) for place in range(shelf.MOST_WAITING + 3))
        return await asyncio.gather(*asked, return_exceptions=True)

    refused = [one for one in asyncio.run(ask()) if not isinstance(one, bytes)]
    assert [one.status for one in refused if isinstance(one, HubError)] == [503] * 3


def test_shelf_makes_few_pages_at_a_time() -> None:
    running, most = 0, 0

    async def make() -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return b""

    async def ask(fetch: Callable[..., Awaitable[bytes]]) -> None:
        await asyncio.gather(*(fetch(f"/{place}", 1, make) for place in range(9)))

    async def all_at_once() -> None:
        await ask(Shelf().fetch)

    asyncio.run(all_at_once())
    assert most == shelf.TURNS
