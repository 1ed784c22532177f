"""Memory is used again when nobody holds it, and never before."""

import multiprocessing
import threading
import time

import numpy as np
import pytest

from olatkit.io import used_memory
from olatkit.io.used_memory import KEPT, LARGE, SMALL, empty_array


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(used_memory, "_PIECES", [])


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_when_the_last_view_is_gone():
    one = empty_array((40, 50, 60), np.uint16)
    place, view = address(one), one[3, ::2].view(np.uint8).T
    del one
    other = empty_array((40, 50, 60), np.uint16)
    assert address(other) != place
    del view
    again = empty_array((40, 50, 60), np.uint16)
    assert address(again) == place
    assert (again.shape, again.dtype, again.flags.c_contiguous, again.flags.writeable) == (
        (40, 50, 60), np.uint16, True, True,
    )


def test_arrays_in_use_are_left_alone_however_many_there_are():
    held = [empty_array((100, 1000), np.uint8) for _ in range(3 * KEPT)]
    for n, array in enumerate(held):
        array[:] = n
    assert [set(array.ravel().tolist()) for array in held] == [{n} for n in range(3 * KEPT)]
    assert len(used_memory._PIECES) == KEPT


def test_a_much_smaller_array_does_not_take_a_large_piece():
    empty_array((1000, 1000), np.uint8)
    empty_array((10, 10_000), np.uint8)
    assert sorted(piece.size for piece in used_memory._PIECES) == [100_000, 1_000_000]


@pytest.mark.parametrize("count", [0, 1, SMALL - 1, LARGE + 1])
def test_little_and_very_much_are_not_kept(count):
    assert empty_array((count,), np.uint8).size == count
    assert used_memory._PIECES == []


def test_threads_never_share_memory():
    wrong = []

    def work(n):
        for _ in range(200):
            array = empty_array((300, 300), np.uint8)
            array[:] = n
            if (array != n).any():
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_while_another_thread_asks_can_ask_too():
    taken = threading.Event()

    def ask_slowly():
        with used_memory._LOCK:
            taken.set()
            time.sleep(0.3)

    thread = threading.Thread(target=ask_slowly)
    thread.start()
    taken.wait()
    child = multiprocessing.get_context("fork").Process(target=empty_array, args=((300, 300), np.uint8))
    child.start()
    thread.join()
    child.join(20)
    hangs = child.is_alive()
    child.kill()
    assert not hangs
    assert child.exitcode == 0
