"""Running tasks here, in threads, in processes and on a cluster."""

import importlib.util
import json
import subprocess
import sys
import threading
import time

import cv2
import pytest
from distributed import LocalCluster

from olatkit.errors import ConfigError, FormatError
from olatkit.jobs import schedulers
from olatkit.jobs.clusters import dashboard_link
from olatkit.jobs.schedulers import as_given, run_tasks, task_path


def square(n):
    """A task that takes longer the earlier it was given, so that order is not order of completion."""
    time.sleep(0.002 * (10 - n))
    return n * n


def fail(n):
    if n == 3:
        raise FormatError("take.cine: frame 3 is damaged")
    return n


def opencv_threads():
    return cv2.getNumThreads()


def fail_at(kind, path):
    raise FormatError(f"{path}: damaged") if kind == "olatkit" else OSError(28, "No space left on device", f"{path}.part")


TASKS = [(n,) for n in range(10)]
BOKEH = importlib.util.find_spec("bokeh") is not None


@pytest.fixture(scope="module")
def cluster():
    """Two threads that serve tasks over TCP, in this process: a fork of a test run with threads is not safe."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as running:
        yield running


def where(kind, cluster):
    return cluster.scheduler_address if kind == "tcp" else kind


def test_a_scheduler_is_found_by_its_file(cluster, tmp_path):
    place = tmp_path / "scheduler.json"
    place.write_text(json.dumps({"address": cluster.scheduler_address}))
    assert run_tasks(square, TASKS, scheduler=str(place)) == [n * n for n in range(10)]


def test_the_link_of_a_dashboard_is_found():
    with LocalCluster(
        n_workers=0, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp", host="127.0.0.1",
    ) as running:
        # Without bokeh the page says no more than that it needs bokeh.
        assert dashboard_link(running.scheduler_address) == (running.dashboard_link if BOKEH else None)
    assert dashboard_link("threads") is None


def test_a_dashboard_of_nobody_is_one_line(monkeypatch):
    monkeypatch.setattr(schedulers, "ANSWER_S", 1)
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        dashboard_link("tcp://127.0.0.1:9")


def test_processes_tell_of_their_dashboard():
    said = []
    run_tasks(square, TASKS[:1], scheduler="processes", workers=1, say=said.append)
    assert len(said) == bool(BOKEH)
    assert all(line.startswith("dashboard: http://127.0.0.1:") for line in said)


@pytest.mark.parametrize("kind", ["sync", "threads", "tcp"])
def test_results_come_in_order(kind, cluster):
    assert run_tasks(square, TASKS, scheduler=where(kind, cluster), workers=3) == [n * n for n in range(10)]


def test_threads_start_tasks_in_order():
    """Neighbouring imagesets share frames and flows; in another order every one of them would be made again."""
    started = []
    run_tasks(lambda n: started.append(n), [(n,) for n in range(120)], scheduler="threads", workers=1)
    assert started == list(range(120))


@pytest.mark.parametrize("kind", ["sync", "threads", "tcp"])
def test_progress_counts_weights_up_to_the_total(kind, cluster):
    told = []
    run_tasks(
        square, TASKS, scheduler=where(kind, cluster), workers=2, weights=range(1, 11),
        progress=lambda *news: told.append(news),
    )
    done = [d for d, _ in told]
    assert {total for _, total in told} == {55}
    assert (done[0], done[-1], len(done)) == (0, 55, 11)
    assert done == sorted(done)


@pytest.mark.parametrize("kind", ["sync", "threads", "tcp"])
def test_a_failing_task_says_why(kind, cluster):
    with pytest.raises(FormatError, match=r"take\.cine: frame 3 is damaged"):
        run_tasks(fail, TASKS, scheduler=where(kind, cluster), workers=2)


def test_nothing_to_do():
    assert run_tasks(square, [], scheduler="threads") == []


def test_threads_are_used_at_once():
    meeting = threading.Barrier(3, timeout=20)
    assert run_tasks(meeting.wait, [()] * 3, scheduler="threads", workers=3)


def test_opencv_starts_no_threads_below_ours():
    before = cv2.getNumThreads()
    assert run_tasks(opencv_threads, [()] * 2, scheduler="threads", workers=2) == [1, 1]
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize("name", ["fast", "tcp:8786", "/nowhere/scheduler.json", ""])
def test_unknown_schedulers(name):
    with pytest.raises(ConfigError, match=r"unknown, expected sync, threads, processes, tcp://host:port"):
        run_tasks(square, TASKS, scheduler=name)


_PROCESSES = '''
import logging, math, sys
from olatkit.jobs import schedulers
from olatkit.jobs.clusters import dashboard_link
from olatkit.jobs.schedulers import run_tasks
if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        run_tasks(math.sqrt, [(4.0,), (float(sys.argv[1]),)], scheduler="processes", workers=2)
    except ValueError as error:
        print(error)
'''


@pytest.mark.slow
@pytest.mark.parametrize("number, said", [("9", ""), ("-1", "math domain error\n")])
def test_processes_leave_no_word_on_the_screen(tmp_path, number, said):
    """Dask logs every connection and every failed task; a failure is to be told once, by its exception."""
    (tmp_path / "run.py").write_text(_PROCESSES)
    command = [sys.executable, str(tmp_path / "run.py"), number]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.parametrize("kind", ["olatkit", "system"])
def test_errors_of_a_cluster_name_files_as_given(kind, cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = (kind, str(task_path("out/a.h5", cluster.scheduler_address)))
    assert task[1] == str(tmp_path / "out/a.h5")
    with pytest.raises((FormatError, OSError)) as caught:
        run_tasks(fail_at, [task], scheduler=cluster.scheduler_address, given=["out/a.h5"])
    if kind == "olatkit":
        assert str(caught.value) == "out/a.h5: damaged"
    else:
        assert caught.value.filename == "out/a.h5.part"


def test_names_are_put_back_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = str(tmp_path)
    text = f"{whole}/s/shard-0.h5, {whole}/s, {whole}/stage/a.h5, {whole}/s-2/x"
    assert as_given(text, ["s"]) == f"s/shard-0.h5, s, {whole}/stage/a.h5, {whole}/s-2/x"
    assert as_given(f"{whole}/s/t.h5: bad", ["../" + tmp_path.name + "/s/t.h5", "s"]) == f"../{tmp_path.name}/s/t.h5: bad"
    assert as_given(text, []) == text
    assert as_given(f"/mnt{whole}/s/t.h5: bad", ["s"]) == f"/mnt{whole}/s/t.h5: bad"
