"""Who is slow is not waited for, and what it says in the end is not lost."""

from __future__ import annotations

import asyncio

import pytest
from controller.southbound.visits import LATER, Question, Visits


class Device:
    """Answers when it is let, with what it has been asked about; counts how often it was asked."""

    def __init__(self) -> None:
        self.talks = asyncio.Event()
        self.asked = 0

    def question(self, about: str, answer: str | None = None) -> Question[str]:
        async def ask() -> str | None:
            self.asked += 1
            await self.talks.wait()
            return answer

        return Question(about, ask)


async def test_a_late_answer_counts_for_the_same_question_only() -> None:
    late = asyncio.Event()
    visits: Visits[str] = Visits(late.set)
    quick, slow = Device(), Device()
    quick.talks.set()
    begun = asyncio.get_running_loop().time()
    found = await visits.answers({"quick": quick.question("a", "A"), "slow": slow.question("a", "A")})
    assert found == {"quick": "A"}
    assert asyncio.get_running_loop().time() - begun < 4 * LATER
    assert visits.busy == {"slow"}
    assert await visits.answers({"slow": slow.question("b", "B")}) == {}  # it is not asked twice at once
    slow.talks.set()
    await asyncio.wait_for(late.wait(), 5)
    assert visits.busy == set()
    assert await visits.answers({"slow": slow.question("a", "other")}) == {"slow": "A"}
    assert (await visits.answers({"slow": slow.question("b", "B")}), slow.asked) == ({"slow": "B"}, 2)


async def test_nothing_to_do_is_asked_again() -> None:
    visits: Visits[str] = Visits(lambda: None)
    device = Device()
    assert await visits.answers({"one": device.question("a")}) == {}
    device.talks.set()
    await asyncio.sleep(0)
    assert (await visits.answers({"one": device.question("a", "A")}), device.asked) == ({"one": "A"}, 2)


async def test_what_a_question_raises_is_told_though_it_comes_late() -> None:
    visits: Visits[str] = Visits(lambda: None)
    fails = asyncio.Event()

    async def ask() -> str:
        await fails.wait()
        raise ValueError("a defect")

    assert await visits.answers({"one": Question("a", ask)}) == {}
    fails.set()
    await asyncio.sleep(0.01)
    with pytest.raises(ValueError, match="a defect"):
        await visits.answers({"one": Question("a", ask)})


async def test_who_is_asked_when_all_ends_is_left_alone() -> None:
    visits: Visits[str] = Visits(lambda: None)
    assert await visits.answers({"one": Device().question("a", "A")}) == {}
    await visits.close()
    assert visits.busy == set()
