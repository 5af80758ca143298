import asyncio

import pytest

from fusionrs_builder.caption.chat.slots import TROUBLED, Slots
from fusionrs_builder.errors import FusionError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_no_more_than_the_limit_at_once() -> None:
    async def run() -> int:
        slots, most = Slots(3, 60, "server"), 0

        async def one() -> None:
            nonlocal most
            async with slots:
                most = max(most, slots.busy)
                await asyncio.sleep(0.001)

        await asyncio.gather(*(one() for _ in range(20)))
        assert slots.busy == 0
        return most

    assert asyncio.run(run()) == 3


def test_too_many_requests_halve_the_limit_once_and_it_grows_again() -> None:
    async def run() -> None:
        clock = Clock()
        slots = Slots(32, 60, "server", clock)
        for _ in range(10):  # all that were under way together
            slots.went_wrong("http_429", 2.0, too_many=True)
        assert (slots.limit, slots.not_before) == (16, 2.0)
        assert not slots.troubled
        clock.now = 3
        slots.went_wrong("http_429", None, too_many=True)
        assert slots.limit == 8
        for _ in range(2000):
            slots.went_well()
        assert slots.limit == 32

    asyncio.run(run())


def test_a_server_in_trouble_is_probed_and_given_up_after_the_patience() -> None:
    async def run() -> None:
        clock = Clock()
        slots = Slots(32, 60, "server", clock)
        for _ in range(TROUBLED):
            slots.went_wrong("http_500: oops", None, too_many=False)
        assert slots.troubled
        assert slots.limit == 1
        pauses = []
        for _ in range(4):
            clock.now = slots.not_before + 0.01
            slots.went_wrong("http_500: oops", None, too_many=False)
            pauses.append(slots.not_before - clock.now)
        assert pauses == sorted(pauses)
        assert pauses[-1] > 4 * pauses[0] > 0
        slots.went_well()
        assert not slots.troubled
        clock.now += 61
        with pytest.raises(FusionError, match=r"server gave no answer for 61 s; the last was: http_500: oops"):
            slots.went_wrong("http_500: oops", None, too_many=False)

    asyncio.run(run())


def test_too_long_a_wait_is_said_at_once() -> None:
    async def run() -> None:
        with pytest.raises(FusionError, match="asks to wait 3600 s, longer than caption.patience = 60"):
            Slots(4, 60, "server").went_wrong("http_429", 3600, too_many=True)

    asyncio.run(run())
