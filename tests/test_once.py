"""Once: one maker, many waiters, errors passed on and not kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from olatkit.once import Once


def test_each_value_is_made_once_however_many_threads_ask():
    once, made, gate = Once(), [], threading.Barrier(8)

    def ask(_):
        gate.wait()
        return [once.get(key, lambda key=key: made.append(key) or key * 10) for key in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert sorted(made) == list(range(20))
    assert answers == [[10 * key for key in range(20)]] * 8


def test_an_error_reaches_the_one_who_asks_and_the_next_try_may_succeed():
    once = Once()
    with pytest.raises(ZeroDivisionError):
        once.get("a", lambda: 1 // 0)
    assert once.get("a", lambda: 5) == 5


def test_dropped_values_are_made_again():
    once = Once()
    for key in range(6):
        once.get(key, lambda: "old")
    once.drop(lambda key: key < 4)
    assert len(once) == 2
    assert [once.get(key, lambda: "new") for key in (3, 4)] == ["new", "old"]
