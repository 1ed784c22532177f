"""One run at a time in a folder of parts: live runs are respected, dead ones are not."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from olatkit.errors import OutputExistsError
from olatkit.io.run_lock import running_alone

HOLD = """
import sys, time
from olatkit.io.run_lock import running_alone
with running_alone(sys.argv[1]):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "o.parts")], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_lock_comes_and_goes_with_an_empty_folder(tmp_path):
    folder = tmp_path / "o.parts"
    with running_alone(folder):
        assert [path.name for path in folder.iterdir()] == ["run.lock"]
    assert not folder.exists()
    with suppress(ZeroDivisionError), running_alone(folder):
        (folder / "000000.h5").touch()
        raise ZeroDivisionError
    assert [path.name for path in folder.iterdir()] == ["000000.h5"]


def test_folders_made_for_the_lock_go_with_it(tmp_path):
    with running_alone(tmp_path / "a/b/o.parts"):
        (tmp_path / "a/there").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "there"]


def test_a_folder_that_is_removed_meanwhile_is_no_error(tmp_path):
    with running_alone(tmp_path / "o.parts"):
        (tmp_path / "o.parts/run.lock").unlink()
        (tmp_path / "o.parts").rmdir()


def test_a_live_run_is_respected_and_a_killed_one_is_not(holder, tmp_path):
    folder = tmp_path / "o.parts"
    held = (folder / "run.lock").read_text()
    with pytest.raises(OutputExistsError, match=rf"another run is writing there \(process {holder.pid} on "), \
         running_alone(folder):
        pass
    assert (folder / "run.lock").read_text() == held
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with running_alone(folder):
        assert json.loads((folder / "run.lock").read_text())["pid"] == os.getpid()
    assert not folder.exists()


def test_the_same_process_is_refused_too(tmp_path):
    with running_alone(tmp_path), pytest.raises(OutputExistsError, match="another run"), running_alone(tmp_path):
        pass


@pytest.mark.parametrize("change", [{"started": "another boot 5"}, {"pid": 2**22 + 1}])
def test_a_later_process_with_the_same_number_does_not_count(tmp_path, change):
    with running_alone(tmp_path):
        lock = json.loads((tmp_path / "run.lock").read_text())
        (tmp_path / "run.lock").write_text(json.dumps(lock | change))
        with running_alone(tmp_path):
            pass


@pytest.mark.parametrize("text", ['{"host": "elsewhere", "pid": 7, "started": ""}', "", "[]", '{"host": 3}'])
def test_what_cannot_be_judged_from_here_is_left_to_the_user(tmp_path, text):
    (tmp_path / "run.lock").write_text(text)
    with pytest.raises(OutputExistsError, match=r"delete run\.lock in that folder"), running_alone(tmp_path):
        pass
    assert (tmp_path / "run.lock").read_text() == text


def test_a_lock_that_another_run_has_taken_over_stays(tmp_path):
    with running_alone(tmp_path):
        (tmp_path / "run.lock").write_text("another's")
    assert (tmp_path / "run.lock").read_text() == "another's"


def _try(folder, start, results):
    start.wait()
    try:
        with running_alone(folder):
            results.put(1)
            time.sleep(0.5)
    except OutputExistsError:
        results.put(0)


def test_of_many_that_find_a_dead_lock_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        dead = {"host": socket.gethostname(), "pid": 2**22 + 1, "started": ""}
        (tmp_path / "run.lock").write_text(json.dumps(dead))
        start, results = context.Event(), context.Queue()
        runs = [context.Process(target=_try, args=(tmp_path, start, results)) for _ in range(6)]
        for run in runs:
            run.start()
        start.set()
        assert sum(results.get(timeout=20) for _ in runs) == 1
        for run in runs:
            run.join()
        tmp_path.mkdir(exist_ok=True)
