"""Shards are the same bytes whoever makes them and however often that is interrupted."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from distributed import LocalCluster
from shard_builds import IMAGESETS, build, contents, flags
from small_shards import write_small_set
from take_runs import on_a_small_disk

from olatkit.errors import OutputExistsError
from olatkit.io.hdf5_files import hdf5


def test_two_workers_of_a_cluster_give_the_same_bytes(built, tmp_path):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as cluster:
        build(built, tmp_path / "s", scheduler=cluster.scheduler_address)
    assert contents(tmp_path / "s") == contents(built / "shards")


@pytest.fixture
def dask_cluster(tmp_path):
    """A scheduler and two workers, each a process of its own, as on two machines."""
    place = tmp_path / "scheduler.json"
    environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
                   "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "3s"}

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )

    where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(place)]
    scheduler = start("dask_scheduler", *where)
    workers = [
        start("dask_worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-dashboard", "--no-nanny")
        for _ in range(2)
    ]
    deadline = time.monotonic() + 60
    while not place.exists() or not place.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield json.loads(place.read_text())["address"], scheduler, workers
    for process in (*workers, scheduler):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_two_worker_processes_equal_sync(built, tmp_path, dask_cluster):
    address, _, _ = dask_cluster
    assert address.startswith("tcp://")
    told = []
    build(built, tmp_path / "s", scheduler=address, progress=lambda done, total: told.append((done, total)))
    assert contents(tmp_path / "s") == contents(built / "shards")
    assert told[-1] == (2 * IMAGESETS, 2 * IMAGESETS)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_made_good_for(tmp_path, dask_cluster):
    address, _, workers = dask_cluster
    write_small_set(tmp_path / "a", 1, 60, bake=2)
    killed = []

    def kill(done, _total):
        if done and not killed:
            os.killpg(workers[0].pid, signal.SIGKILL)
            killed.append(done)

    build(tmp_path / "a", tmp_path / "s", takes=[tmp_path / "a" / "take0.olat.h5"], scheduler=address, progress=kill)
    assert killed
    assert killed[0] < 60
    assert contents(tmp_path / "s") == contents(tmp_path / "a" / "shards")


@pytest.mark.slow
def test_a_lost_scheduler_is_one_line_and_a_second_run_goes_on(tmp_path, dask_cluster):
    address, scheduler, _ = dask_cluster
    write_small_set(tmp_path / "a", 1, 60, bake=2)
    command = [
        sys.executable, "-m", "olatkit", "build-shards", str(tmp_path / "a" / "take0.olat.h5"), "-o", str(tmp_path / "s"),
        "--bank", str(tmp_path / "a" / "maps.h5"), *flags(bake=2), "--scheduler", address,
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("s/shard-*.h5")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    os.killpg(scheduler.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("olatkit: ")
    assert "go on" in last
    assert "Traceback" not in said
    build(tmp_path / "a", tmp_path / "s", takes=[tmp_path / "a" / "take0.olat.h5"])
    assert contents(tmp_path / "s") == contents(tmp_path / "a" / "shards")


# ---------------------------------------------------------------- interruptions

@pytest.fixture(scope="module")
def server():
    """Starts processes in milliseconds: children of a process that has everything imported and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["olatkit.jobs.build_shards", "h5py", "hdf5plugin", "dask", "cv2", "small_shards"])
    return context


def kill_and_rerun(start, out, whole, times, seed):
    """Let one run end, then kill runs ``times`` times at random instants of its length; one that ends starts anew."""
    begin = time.monotonic()
    process = start()
    process.join()
    length = time.monotonic() - begin
    assert contents(out) == whole
    shutil.rmtree(out)
    rng, struck, finished = random.Random(seed), 0, 0
    while struck < times:
        process = start()
        time.sleep(rng.uniform(0, length / 2))
        process.kill()
        process.join()
        struck += process.exitcode == -signal.SIGKILL
        if (out / "index.json").exists():
            if (out / "build").exists():  # killed between its index and its end
                process = start()
                process.join()
            assert contents(out) == whole
            shutil.rmtree(out)
            finished += 1
    return finished


def test_killed_runs_end_in_the_same_bytes(built, tmp_path, server):
    out, whole = tmp_path / "s", contents(built / "shards")

    def start():
        process = server.Process(target=build, args=(built, out))
        process.start()
        return process

    kill_and_rerun(start, out, whole, 3, 1)
    build(built, out)
    assert contents(out) == whole


def test_a_run_killed_after_its_index_is_tidied_by_the_next(built, tmp_path):
    out, whole = tmp_path / "s", contents(built / "shards")
    build(built, out)
    (out / "build").mkdir()
    for name in ("build/plan.json", "build/kappa.json.part", "shard-00099.h5"):
        (out / name).write_text("{}")
    said = []
    build(built, out, say=said.append)
    assert said == ["all shards are there already"]
    assert contents(out) == whole
    (out / "shard-00099.h5").touch()  # without a build that was killed, what is not ours stays
    build(built, out)
    assert (out / "shard-00099.h5").exists()


@pytest.mark.slow
def test_twenty_kills_of_a_larger_build_end_in_the_same_bytes(tmp_path, server):
    write_small_set(tmp_path / "a", 2, 40, bake=2)
    out, whole = tmp_path / "s", contents(tmp_path / "a" / "shards")

    def start():
        process = server.Process(target=build, args=(tmp_path / "a", out))
        process.start()
        return process

    finished = kill_and_rerun(start, out, whole, 24, 2)
    done = build(tmp_path / "a", out)
    assert contents(out) == whole
    assert finished or done.kept
    print(f"24 kills at random instants: {finished} builds reached their end between them, the last run kept "
          f"{done.kept} of {done.shards} shards; every byte is equal")


def test_finished_shards_are_kept_and_damaged_ones_made_again(built, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(built / "shards", out)
    whole = contents(out)
    (out / "index.json").unlink()
    with pytest.raises(OutputExistsError, match="shards without an index"):
        build(built, out)
    done = build(built, out, overwrite=True)
    assert (done.kept, contents(out)) == (6, whole)
    (out / "index.json").unlink()
    (out / "shard-00002.h5").write_bytes(b"x")
    (out / "shard-00004.h5").unlink()
    (out / "shard-00001.h5.somewhere-1.part").write_bytes(b"x")
    done = build(built, out, overwrite=True)
    assert (done.kept, contents(out)) == (4, whole)


def test_what_verify_names_is_deleted_and_made_again(built, tmp_path):
    """As its last line says; damage in other shards, of which no record is left, is found on the way."""
    out = tmp_path / "s"
    shutil.copytree(built / "shards", out)
    whole = contents(out)
    flip_a_code(out / "shard-00003.h5")
    for name in ("shard-00001.h5", "bank.h5"):
        (out / name).unlink()
    done = build(built, out, overwrite=True)
    assert (done.kept, contents(out)) == (4, whole)
    (out / "bank.h5").unlink()
    done = build(built, out, overwrite=True)
    assert (done.kept, contents(out)) == (6, whole)


def flip_a_code(path):
    """Damage one byte in the middle of a stored chunk of lights."""
    with hdf5().File(path) as file:
        chunk = file["olat"].id.get_chunk_info(0)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset + chunk.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 16]))


def test_a_full_disk_is_one_line_and_nothing_is_lost(built, tmp_path, server):
    """A limit on the size of files stands in for the disk."""
    out = tmp_path / "s"
    words = [
        "build-shards", str(built / "take0.olat.h5"), str(built / "take1.olat.h5"), "-o", str(out), "--bank",
        str(built / "maps.h5"), *flags(bake=2), "--scheduler", "sync",
    ]
    largest = max(path.stat().st_size for path in (built / "shards").glob("shard-*.h5"))
    assert largest > 2 * (built / "maps.h5").stat().st_size
    code, said = on_a_small_disk(server, largest - 1000, tmp_path / "said.txt", words)
    assert code == 1
    assert "cannot be written: File too large" in said.splitlines()[-1]
    assert not list(out.glob("*.part"))
    assert not (out / "index.json").exists()
    build(built, out)
    assert contents(out) == contents(built / "shards")
