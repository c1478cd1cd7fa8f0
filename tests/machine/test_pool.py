"""A pool whose threads the system may refuse: the work is done all the same, each piece once."""

import threading

import pytest

from kvae.machine.pool import Pool, can_start


@pytest.fixture(params=[None, 0, 1, 3], ids=lambda count: f"at most {count} threads")
def at_most(request, monkeypatch):
    """Lets only so many threads start."""
    start, started = threading.Thread.start, []

    def limited(thread):
        if request.param is not None and len(started) >= request.param:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)


def test_all_of_the_work_is_done_once_and_in_order(at_most):
    calls = []
    with Pool(5) as pool:
        found = list(pool.map(lambda value: calls.append(value) or value**2, range(200)))
    assert found == [value**2 for value in range(200)]
    assert sorted(calls) == list(range(200))


def test_an_error_is_raised_by_the_future(at_most):
    with Pool(2) as pool:
        future = pool.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            future.result()


def test_work_that_is_cancelled_is_not_done(at_most):
    hold, calls = threading.Event(), []
    with Pool(1) as pool:
        first = pool.submit(lambda: None if threading.current_thread() is threading.main_thread() else hold.wait(10))
        waiting = [pool.submit(calls.append, value) for value in range(5)]
        pool.shutdown(wait=False, cancel_futures=True)
        hold.set()
    assert first.done()
    assert len(calls) == sum(not future.cancelled() for future in waiting)


def test_a_pool_that_is_shut_down_takes_no_work():
    with Pool(1) as pool:
        pass
    with pytest.raises(RuntimeError, match="shutdown"):
        pool.submit(print)


def test_a_process_that_may_start_two_threads_cannot_start_three(monkeypatch):
    start, running = threading.Thread.start, []

    def limited(thread):
        if len(running) == 2:
            raise RuntimeError("can't start new thread")
        running.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert not can_start(3)
    running.clear()
    assert can_start(2)
