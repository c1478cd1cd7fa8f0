"""Requests that arrive while the model works are answered together: one call of the model for all of a kind."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

MAX_ROWS = 1024
"""Rows, such as images, of the requests in one call; a request with more is a call of its own."""


class Full(Exception):
    """Too many requests are waiting."""


class _Job(NamedTuple):
    kind: str
    rows: int
    given: Any
    answer: "asyncio.Future[Any]"


class Batcher:
    """Collects requests, and has them answered in a thread, one batch after the other, in the order of their arrival.

    No request waits for others to come: a batch is what has arrived while the one before was computed. So a lone
    request is answered at once, and under load batches grow by themselves.

    Args:
        work: called with a kind and what was given with each request of that kind; returns the answer to each, which
            may be an exception.
        max_waiting: how many requests may wait.
        observe: is told the number of rows of each batch.
    """

    def __init__(
        self,
        work: Callable[[str, list[Any]], Sequence[Any]],
        max_waiting: int,
        observe: Callable[[int], Any] = lambda rows: None,
    ) -> None:
        self._work = work
        self._max_waiting = max_waiting
        self._observe = observe
        self._waiting: deque[_Job] = deque()
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "kvae")

    @property
    def waiting(self) -> int:
        """Requests that wait, without those that are being answered."""
        return len(self._waiting)

    async def run(self, kind: str, rows: int, given: Any) -> Any:
        """The answer to a request.

        Raises:
            Full: too many are waiting.
            Exception: what answers this request alone.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Full
        loop = asyncio.get_running_loop()
        job = _Job(kind, rows, given, loop.create_future())
        self._waiting.append(job)
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._answer_all())
        return await job.answer

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next():
            try:
                self._observe(sum(job.rows for job in batch))
                answers = await loop.run_in_executor(
                    self._thread, self._work, batch[0].kind, [job.given for job in batch]
                )
                if len(answers) != len(batch):
                    raise RuntimeError(f"{len(batch)} requests got {len(answers)} answers")
            except Exception as error:  # which must reach those who wait
                answers = [error] * len(batch)
            for job, answer in zip(batch, answers, strict=True):
                if job.answer.done():  # whoever asked has gone
                    continue
                if isinstance(answer, Exception):
                    job.answer.set_exception(answer)
                else:
                    job.answer.set_result(answer)

    def _next(self) -> list[_Job]:
        """The oldest request, and those behind it of its kind that fit into the batch."""
        batch: list[_Job] = []
        rest: deque[_Job] = deque()
        for job in self._waiting:
            if job.answer.done():
                continue
            fits = not batch or (job.kind == batch[0].kind and sum(one.rows for one in batch) + job.rows <= MAX_ROWS)
            (batch if fits else rest).append(job)
        self._waiting = rest
        return batch

    def close(self) -> None:
        """End the thread once it is idle."""
        self._thread.shutdown(wait=False)
