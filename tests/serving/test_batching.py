"""Requests that wait together are answered together, each with its own answer."""

import asyncio
import threading

import pytest

from kvae.serving.batching import MAX_ROWS, Batcher, Full


class Recorder:
    """Doubles what it is given, and keeps the batches; the first waits until it is let go."""

    def __init__(self) -> None:
        self.batches = []
        self.free = threading.Event()

    def __call__(self, kind, given):
        self.batches.append((kind, list(given)))
        assert self.free.wait(10)
        return [ValueError(item) if item < 0 else 2 * item for item in given]


async def run_all(batcher, recorder, requests):
    """The results of requests `(kind, rows, given)` of which all but the first come while the first is answered."""
    tasks = [asyncio.create_task(batcher.run(*request)) for request in requests]
    while not recorder.batches:
        await asyncio.sleep(0.001)
    recorder.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_what_waits_is_one_batch_of_its_kind_in_order():
    recorder, rows = Recorder(), []
    batcher = Batcher(recorder, 100, rows.append)
    requests = [("a", 1, 1), ("a", 1, 2), ("b", 1, 3), ("a", 2, 4), ("b", 3, 5)]
    found = asyncio.run(run_all(batcher, recorder, requests))
    assert found == [2, 4, 6, 8, 10]
    assert recorder.batches[-2:] == [("a", [2, 4]), ("b", [3, 5])] or recorder.batches == [
        ("a", [1, 2, 4]), ("b", [3, 5])
    ]  # fmt: skip
    assert sum(rows) == 8


def test_a_batch_has_at_most_so_many_rows():
    recorder = Recorder()
    requests = [("a", 1, 0), *[("a", MAX_ROWS // 2, number) for number in (1, 2, 3)], ("a", 2 * MAX_ROWS, 4)]
    assert asyncio.run(run_all(Batcher(recorder, 100), recorder, requests)) == [0, 2, 4, 6, 8]
    sizes = {0: 1, 4: 2 * MAX_ROWS}
    for _, given in recorder.batches:
        total = sum(sizes.get(number, MAX_ROWS // 2) for number in given)
        assert total <= MAX_ROWS or len(given) == 1


def test_an_error_is_the_answer_to_one_request_alone():
    recorder = Recorder()
    found = asyncio.run(run_all(Batcher(recorder, 100), recorder, [("a", 1, 1), ("a", 1, -1), ("a", 1, 2)]))
    assert found[0] == 2 and found[2] == 4 and isinstance(found[1], ValueError)


def test_when_all_fails_all_are_told_and_the_next_are_answered():
    calls = []

    def work(kind, given):
        calls.append(given)
        if len(calls) == 1:
            raise OSError("no")
        return given

    async def both():
        batcher = Batcher(work, 10)
        with pytest.raises(OSError, match="no"):
            await batcher.run("a", 1, 1)
        return await batcher.run("a", 1, 2)

    assert asyncio.run(both()) == 2


def test_too_many_are_turned_away():
    recorder = Recorder()

    async def crowd():
        batcher = Batcher(recorder, 2)
        first = asyncio.create_task(batcher.run("a", 1, 1))
        while not recorder.batches:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.run("a", 1, number)) for number in (2, 3)]
        await asyncio.sleep(0)
        assert batcher.waiting == 2
        with pytest.raises(Full):
            await batcher.run("a", 1, 4)
        recorder.free.set()
        return await asyncio.gather(first, *waiting)

    assert asyncio.run(crowd()) == [2, 4, 6]


def test_who_has_gone_is_not_answered():
    recorder = Recorder()

    async def leave():
        batcher = Batcher(recorder, 10)
        first = asyncio.create_task(batcher.run("a", 1, 1))
        while not recorder.batches:
            await asyncio.sleep(0.001)
        gone = asyncio.create_task(batcher.run("a", 1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        recorder.free.set()
        assert await first == 2
        assert await batcher.run("a", 1, 3) == 6

    asyncio.run(leave())
    assert [given for _, given in recorder.batches] == [[1], [3]]
