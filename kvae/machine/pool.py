"""A pool of threads for a system that may not let all of them start."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def can_start(count: int) -> bool:
    """Whether this process may start so many more threads now."""
    done = threading.Event()
    started = [threading.Thread(target=done.wait) for _ in range(count)]
    try:
        for thread in started:
            thread.start()
    except RuntimeError:
        return False
    finally:
        done.set()
        for thread in started:
            if thread.ident is not None:
                thread.join()
    return True


class Pool(ThreadPoolExecutor):
    """A ThreadPoolExecutor that does with fewer threads if no more can be started (`ulimit -u`, a container's limit).

    What no thread takes is done by the caller of `submit` itself, so that the work is always done.
    """

    def submit(self, work: Callable[..., Any], /, *args: Any, **settings: Any) -> Future[Any]:
        """Like `ThreadPoolExecutor.submit`."""
        future: Future[Any] = Future()
        turn = [None]  # taken by whoever does the work: popping is atomic

        def run() -> None:
            try:
                turn.pop()
            except IndexError:
                return
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work(*args, **settings))
            except BaseException as error:
                future.set_exception(error)

        try:
            queued = super().submit(run)
        except RuntimeError as error:
            if "thread" not in str(error):  # the pool is shut down
                raise
            run()  # it is queued too, but a thread that finds it there later leaves it
            return future
        queued.add_done_callback(lambda done: future.cancel() if done.cancelled() else None)
        return future
