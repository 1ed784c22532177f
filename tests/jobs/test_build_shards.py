"""Takes become shards: right contents, the same bytes whoever does the work and however often it is interrupted."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import LocalCluster
from small_shards import LIGHTS, SIZE, small_config, sphere_stage, write_small_bank, write_small_set, write_sphere_take

from olatkit.cli.build_shards import command as build_command
from olatkit.cli.shards import command as shards_command
from olatkit.color import luminance, to_srgb8
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.imageset import CLIPPED_CODES
from olatkit.io import codes as radiance_codes
from olatkit.io.documents import read_json
from olatkit.io.hdf5_files import hdf5
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.io.shards import ShardReader
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.io.takes import open_take
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.clusters import open_cluster
from olatkit.jobs.merge_shards import merge_shards
from olatkit.jobs.shard_pictures import read_square
from olatkit.jobs.shard_plan import assign_splits, plan_shards, settings_of, take_names, write_plan
from olatkit.jobs.show_shards import show_shards
from olatkit.jobs.verify_shards import verify_shards
from olatkit.learn.lightings import light_weights_of, lighting_matrix
from olatkit.render.fully_lit import fully_lit
from olatkit.render.relight import relight
from olatkit.vision.matting import stack_foreground
from olatkit.vision.pair_flow import flow_pair

IMAGESETS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two takes, a bank, and a set that every other way of making it must equal."""
    folder = tmp_path_factory.mktemp("build")
    write_small_set(folder, 2, IMAGESETS, bake=2)
    return folder


def build(folder, out, **given):
    takes = given.pop("takes", [folder / "take0.olat.h5", folder / "take1.olat.h5"])
    config = given.pop("config", None) or small_config(bake=2)
    return build_shards(takes, out, config, **{"bank": folder / "maps.h5", "scheduler": "sync", **given})


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---------------------------------------------------------------- what comes out

def test_codes_are_those_of_the_take(folder):
    """A take of the shards' size keeps every code."""
    shards = ShardSet(folder / "shards")
    for number in (0, 1):
        expected = [read_square(open_take(folder / f"take{number}.olat.h5"), i, SIZE)[1] for i in range(IMAGESETS)]
        for i in range(IMAGESETS):
            reader, row = shards.locate(f"take{number}", i)
            np.testing.assert_array_equal(reader.read_codes(row), expected[i])


def test_read_square_keeps_codes(tmp_path):
    stored = write_sphere_take(tmp_path / "t.olat.h5", 2)
    radiance, codes, beyond = read_square(open_take(tmp_path / "t.olat.h5"), 1, SIZE)
    np.testing.assert_array_equal(codes, stored[1])
    np.testing.assert_array_equal(radiance, radiance_codes.decode(stored[1]))
    assert not beyond.any()


def test_pictures_labels_and_flow_are_those_of_the_kernels(folder):
    shards = ShardSet(folder / "shards")
    take = open_take(folder / "take0.olat.h5")
    config = small_config().labels
    kappa = shards.locate("take0", 0)[0].header.kappa
    full = []
    for i in range(IMAGESETS):
        radiance = read_square(take, i, SIZE)[0]
        full.append(to_srgb8(np.float32(kappa) * fully_lit(radiance, take.rig)))
        reader, row = shards.locate("take0", i)
        assert reader.header.kappa == kappa
        np.testing.assert_array_equal(reader.read("full", row), full[i])
        coverage = stack_foreground(radiance)
        np.testing.assert_array_equal(reader.read("mask", row), np.round(coverage * 255).astype(np.uint8))
        assert ((reader.read("parse", row) > 0) == (coverage > 0.5)).mean() > 0.99  # the vote may move the edge
        assert reader.rows["r"][row] == take.reference_ticks[i]
        np.testing.assert_array_equal(reader.rows["obs"][row], take.observations[i])
    for i in range(IMAGESETS - 1):
        reader, row = shards.locate("take0", i)
        pair = flow_pair(full[i], full[i + 1], config)
        for name, expected in (("flow_fw", pair.forward), ("flow_bw", pair.backward)):
            np.testing.assert_array_equal(reader.read(name, row), expected.astype(np.float16))
        np.testing.assert_array_equal(reader.read("occ_fw", row), pair.occluded_forward)
        np.testing.assert_array_equal(reader.read("occ_bw", row), pair.occluded_backward)


def test_kappa_gives_the_subject_a_quarter(folder):
    take = open_take(folder / "take0.olat.h5")
    radiance = read_square(take, 0, SIZE)[0]
    kappa = ShardSet(folder / "shards").locate("take0", 0)[0].header.kappa
    lit = luminance(kappa * fully_lit(radiance, take.rig))[stack_foreground(radiance) > 0.5]
    assert float(np.median(lit)) == pytest.approx(0.25, rel=1e-4)


def test_baked_pictures_are_their_lightings(folder):
    """Four pictures of a pair across the edge of two files: i at t, j at t + 1, k at both."""
    shards = ShardSet(folder / "shards")
    (first, a), (second, b) = shards.locate("take0", 2), shards.locate("take0", 3)
    assert first is not second
    matrix = lighting_matrix(first.header.rig)
    for number in range(2):
        weights = light_weights_of(first.baked_lights[a, number], matrix) * first.header.kappa
        baked = first.read("baked", (a, number))
        sources = ((first, a, 0), (second, b, 1), (first, a, 2), (second, b, 2))
        for picture, (reader, row, light) in zip(baked, sources, strict=True):
            expected = to_srgb8(relight(reader.read_radiance(row), weights[light]))
            assert np.abs(picture.astype(int) - expected).max() <= 1
    assert np.abs(first.baked_lights[a, 0] - first.baked_lights[a, 1]).max() > 0.01


def test_larger_takes_are_cropped_and_averaged(tmp_path):
    """40 x 72 becomes 20 x 20 from the middle, exact for means of four codes' radiance."""
    rng = np.random.default_rng(1)
    rig = sphere_stage().rig
    radiance = rng.random((LIGHTS, 40, 72, 3)).astype(np.float32)
    path = tmp_path / "t.olat.h5"
    head = TakeHeader(rig, None, (40, 72), (0, 0, 40, 72), 25.0, encoding="float32")
    rows = ImagesetRows(radiance.sum(0), np.zeros(LIGHTS, np.uint8), np.zeros((LIGHTS, 2), np.int32),
                        np.ones(LIGHTS, np.float32), 0, 0, 0.0, {})
    write_part(tmp_path / "p", radiance, rows, head, "x")
    merge_parts([tmp_path / "p"], path, head)
    got, codes, beyond = read_square(open_take(path), 0, 20)
    means = radiance[:, :, 16:56].reshape(LIGHTS, 20, 2, 20, 2, 3).mean((2, 4))
    np.testing.assert_array_equal(codes, radiance_codes.encode(means)[0])
    np.testing.assert_array_equal(got, radiance_codes.decode(codes))
    assert not beyond.any()


@pytest.mark.parametrize("reduced", [1, 2, 4])
def test_rounding_stays_below_a_quarter_of_the_noise(reduced):
    """At every level, of a sensor of 20,000 electrons and 20 of read noise, blended of two looks and then reduced."""
    level = np.linspace(0, 3.9, 4000)
    noise = np.sqrt(2 / 3) * np.sqrt(level / 20000 + (20 / 20000) ** 2) / reduced
    table = radiance_codes.decode_table()
    code = radiance_codes.encode(level.astype(np.float32))[0]
    step = np.diff(table)[np.minimum(code, len(table) - 2)]
    assert (step / np.sqrt(12) <= noise / 4).all()


def test_values_beyond_the_codes_are_flagged(tmp_path):
    radiance = np.full((LIGHTS, SIZE, SIZE, 3), 0.3, np.float32)
    radiance[3, 5, 5] = 9.0
    radiance[:, :4] = 0  # a background
    head = TakeHeader(sphere_stage().rig, None, (SIZE, SIZE), (0, 0, SIZE, SIZE), 25.0, encoding="float32")
    rows = ImagesetRows(radiance.sum(0), np.zeros(LIGHTS, np.uint8), np.zeros((LIGHTS, 2), np.int32),
                        np.ones(LIGHTS, np.float32), 0, 0, 0.0, {})
    write_part(tmp_path / "p", radiance, rows, head, "x")
    merge_parts([tmp_path / "p"], tmp_path / "t.olat.h5", head)
    build_shards([tmp_path / "t.olat.h5"], tmp_path / "s", small_config(), scheduler="sync")
    quality = ShardReader(tmp_path / "s" / "shard-00000.h5").rows["quality"][0]
    assert np.flatnonzero(quality & CLIPPED_CODES).tolist() == [3]


def test_labels_do_not_depend_on_where_shards_begin(folder, tmp_path):
    """Nor does anything else: one shard of all holds what shards of three hold."""
    build(folder, tmp_path / "one", config=small_config(bake=2, shard_imagesets=100))
    a, b = ShardSet(folder / "shards"), ShardSet(tmp_path / "one")
    for pair in a.pairs:
        (first, i), (second, j) = a.locate(pair.take, pair.first), b.locate(pair.take, pair.first)
        for name in ("full", "parse", "mask", "flow_fw", "flow_bw", "occ_fw", "occ_bw"):
            np.testing.assert_array_equal(first.read(name, i), second.read(name, j))
        np.testing.assert_array_equal(first.read("baked", (i, 1)), second.read("baked", (j, 1)))


def test_index_and_summary(folder):
    index = read_index(folder / "shards")
    assert [take.labels for take in index.takes] == ["foreground"] * 2
    assert [(s.take, s.first, s.imagesets, s.pairs) for s in index.shards] == [
        (f"take{t}", first, min(3, IMAGESETS - first), min(3, IMAGESETS - 1 - first)) for t in (0, 1) for first in (0, 3, 6)
    ]
    text = (folder / "shards" / "index.json").read_text()
    assert str(folder) not in text
    assert str(folder).encode() not in b"".join(contents(folder / "shards").values())


# ---------------------------------------------------------------- the same bytes

def test_a_second_run_changes_nothing(folder, tmp_path):
    shutil.copytree(folder / "shards", tmp_path / "s")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()}
    done = build(folder, tmp_path / "s")
    assert done.kept == done.shards == 6
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()} == before


def test_threads_give_the_same_bytes(folder, tmp_path):
    build(folder, tmp_path / "s", scheduler="threads", workers=3)
    assert contents(tmp_path / "s") == contents(folder / "shards")


def test_two_workers_of_a_cluster_give_the_same_bytes(folder, tmp_path):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as cluster:
        build(folder, tmp_path / "s", scheduler=cluster.scheduler_address)
    assert contents(tmp_path / "s") == contents(folder / "shards")


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
def test_two_worker_processes_equal_sync(folder, tmp_path, dask_cluster):
    address, _, _ = dask_cluster
    assert address.startswith("tcp://")
    told = []
    build(folder, tmp_path / "s", scheduler=address, progress=lambda done, total: told.append((done, total)))
    assert contents(tmp_path / "s") == contents(folder / "shards")
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


def flags(**given):
    """Command-line options of a small configuration."""
    config = small_config(**given)
    return [
        "--size", str(config.size), "--bake", str(config.bake), "--shard-imagesets", str(config.shard_imagesets),
        "--set", f"tile={config.tile}", "--set", "matte=false", "--set", "labels.parsing=foreground",
        "--set", "labels.flow_preset=fast",
    ]


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
            assert contents(out) == whole
            shutil.rmtree(out)
            finished += 1
    return finished


def test_killed_runs_end_in_the_same_bytes(folder, tmp_path, server):
    out, whole = tmp_path / "s", contents(folder / "shards")

    def start():
        process = server.Process(target=build, args=(folder, out))
        process.start()
        return process

    kill_and_rerun(start, out, whole, 5, 1)
    build(folder, out)
    assert contents(out) == whole


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


def test_finished_shards_are_kept_and_damaged_ones_made_again(folder, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(folder / "shards", out)
    whole = contents(out)
    (out / "index.json").unlink()
    with pytest.raises(OutputExistsError, match="shards without an index"):
        build(folder, out)
    done = build(folder, out, overwrite=True)
    assert (done.kept, contents(out)) == (6, whole)
    (out / "index.json").unlink()
    (out / "shard-00002.h5").write_bytes(b"x")
    (out / "shard-00004.h5").unlink()
    (out / "shard-00001.h5.somewhere-1.part").write_bytes(b"x")
    done = build(folder, out, overwrite=True)
    assert (done.kept, contents(out)) == (4, whole)


def test_what_verify_names_is_deleted_and_made_again(folder, tmp_path):
    """As its last line says; damage in other shards, of which no record is left, is found on the way."""
    out = tmp_path / "s"
    shutil.copytree(folder / "shards", out)
    whole = contents(out)
    flip_a_code(out / "shard-00003.h5")
    for name in ("shard-00001.h5", "bank.h5"):
        (out / name).unlink()
    done = build(folder, out, overwrite=True)
    assert (done.kept, contents(out)) == (4, whole)
    (out / "bank.h5").unlink()
    done = build(folder, out, overwrite=True)
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


def test_a_full_disk_is_one_line_and_nothing_is_lost(folder, tmp_path):
    """A limit on the size of files stands in for the disk."""
    out = tmp_path / "s"
    command = [
        sys.executable, "-m", "olatkit", "build-shards", str(folder / "take0.olat.h5"), str(folder / "take1.olat.h5"),
        "-o", str(out), "--bank", str(folder / "maps.h5"), *flags(bake=2), "--scheduler", "sync",
    ]

    largest = max(path.stat().st_size for path in (folder / "shards").glob("shard-*.h5"))
    assert largest > 2 * (folder / "maps.h5").stat().st_size

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1000, largest - 1000))

    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert not list(out.glob("*.part"))
    assert not (out / "index.json").exists()
    build(folder, out)
    assert contents(out) == contents(folder / "shards")


# ---------------------------------------------------------------- what is refused

def test_another_set_in_the_folder_is_not_replaced(folder, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(folder / "shards", out)
    with pytest.raises(OutputExistsError, match="other takes or settings"):
        build(folder, out, config=small_config(bake=1))
    assert contents(out) == contents(folder / "shards")
    build(folder, out, config=small_config(bake=0, shard_imagesets=100), overwrite=True)
    assert read_index(out).baked == 0
    assert sorted(path.name for path in out.glob("shard-*.h5")) == ["shard-00000.h5", "shard-00001.h5"]
    assert verify_shards(out, scheduler="sync") == []


def test_a_build_that_made_no_shard_is_in_nobodys_way(folder, tmp_path):
    """A wrong network is noticed at the first picture; other settings may then be tried, until there are shards."""
    out, wrong = tmp_path / "s", small_config(bake=2, labels={"flow": "nvidia"})
    with pytest.raises(ConfigError, match="flow 'nvidia'"):
        build(folder, out, config=wrong)
    build(folder, out)
    assert contents(out) == contents(folder / "shards")
    (out / "index.json").unlink()
    write_plan(out, plan_shards([folder / "take0.olat.h5"], wrong, bank_sha256="x"))
    with pytest.raises(OutputExistsError, match="an unfinished build of other takes or settings"):
        build(folder, out)


def test_two_builds_in_one_folder_are_refused(folder, tmp_path):
    out, refused = tmp_path / "s", []

    def build_again(done, _total):
        if done and not refused:
            with pytest.raises(OutputExistsError, match="another run is writing there") as caught:
                build(folder, out)
            refused.append(caught.value)

    build(folder, out, progress=build_again)
    assert refused
    assert contents(out) == contents(folder / "shards")


def test_networks_of_the_user_count_by_content_not_by_place(tmp_path):
    """The flow network is only opened when it is used, so any bytes will do here."""
    write_sphere_take(tmp_path / "t.olat.h5", 2)
    digests = []
    for folder, content in (("a", b"x"), ("b", b"x"), ("a", b"y")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "net.onnx").write_bytes(content)
        config = small_config(labels={"flow": "onnx", "flow_onnx": str(tmp_path / folder / "net.onnx")})
        plan = plan_shards([tmp_path / "t.olat.h5"], config)
        digests.append(plan.digest)
        assert str(tmp_path) not in json.dumps(settings_of(plan.config))
    assert digests[0] == digests[1] != digests[2]
    for name in ("onnx", "flow_onnx"):
        missing = small_config(labels={name: str(tmp_path / "none.onnx")})
        with pytest.raises(ConfigError, match=rf"labels.{name}: .*none\.onnx is no file"):
            plan_shards([tmp_path / "t.olat.h5"], missing)


def test_the_backend_is_decided_once(tmp_path):
    """With truth, and without any models: what 'auto' means stands in the plan, and truth of other content counts."""
    write_sphere_take(tmp_path / "t.olat.h5", 2)
    automatic = small_config(labels={"parsing": "auto", "models": str(tmp_path / "none")})
    plan = plan_shards([tmp_path / "t.olat.h5"], automatic)
    assert plan.config.labels.parsing == "foreground"
    digests = {plan.digest}
    for value in (1, 2):
        write_truth_file(tmp_path / "truth.h5", value)
        plan = plan_shards([tmp_path / "t.olat.h5"], automatic, truths=[tmp_path / "truth.h5"])
        assert plan.config.labels.parsing == "truth"
        digests.add(plan.digest)
    assert len(digests) == 3
    build_shards([tmp_path / "t.olat.h5"], tmp_path / "s", automatic, truths=[tmp_path / "truth.h5"], scheduler="sync")
    reader = ShardReader(tmp_path / "s" / "shard-00000.h5")
    assert (reader.read("parse", 1) == 2).all()
    assert read_index(tmp_path / "s").takes[0].labels == "truth"


def write_truth_file(path, value):
    """Labels of a simulated take at the ticks of :func:`write_sphere_take`."""
    with hdf5().File(path, "w") as file:
        file["r_tick"], file["label"] = 40 * np.arange(2), np.full((2, SIZE, SIZE), value, np.uint8)


def test_new_splits_make_no_new_shards(folder, tmp_path):
    build(folder, tmp_path / "s", config=small_config(), bank=None)
    done = build(folder, tmp_path / "s", config=small_config(splits={"test": ["take1"]}), bank=None, overwrite=True)
    assert done.kept == done.shards
    assert read_index(tmp_path / "s").splits == ("test", "train")


def test_wrong_requests_are_one_line(folder, tmp_path):
    take = folder / "take0.olat.h5"
    for given, said in (
        ({"config": small_config(size=64)}, "32x32, smaller than the shards' 64; pass a --size of at most 32"),
        ({"bank": None}, "give --bank"),
        ({"bank": folder / "none.h5"}, "no such file"),
        ({"bank": take}, "bank"),
        ({"takes": [take, take]}, "several takes are named"),
        ({"takes": [folder / "none.olat.h5"]}, "no such take"),
        ({"takes": []}, "no takes"),
        ({"subjects": {"x": "anna"}}, "take 'x' is not given"),
        ({"config": small_config(splits={"test": ["x"]})}, "subject 'x' is unknown, expected take0, take1"),
        ({"truths": [take]}, "1 truth files for 2 takes"),
        ({"truths": [take, take]}, "truth"),
    ):
        with pytest.raises((ConfigError, FormatError), match=said) as caught:
            build(folder, tmp_path / "s", **given)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("s/shard*"))


def test_a_take_that_changes_under_the_build_is_noticed(tmp_path):
    write_sphere_take(tmp_path / "t.olat.h5", 4)
    plan = plan_shards([tmp_path / "t.olat.h5"], small_config())
    (tmp_path / "t.olat.h5").unlink()
    write_sphere_take(tmp_path / "t.olat.h5", 4, comment="another take")
    assert plan_shards([tmp_path / "t.olat.h5"], small_config()).digest != plan.digest


@pytest.mark.parametrize("field, value, said", [
    ("size", 20, "size 20 is not a multiple of the tile, 8"), ("splits", {"train": 0.5}, "holds what the others leave"),
    ("splits", {"a": 1.0}, "less than 1 together"), ("sise", 8, "sise"),
])
def test_settings_are_checked(field, value, said):
    with pytest.raises(ValueError, match=said):
        small_config(**{field: value})


def test_splits_are_by_subject():
    people = [f"p{i:02d}" for i in range(36)]
    splits = assign_splits(people, {"test": 0.1}, 0)
    assert sorted(splits) == people
    held_out = {name for name, split in splits.items() if split == "test"}
    assert len(held_out) == 4
    assert assign_splits(people, {"test": 0.1}, 1) != splits
    more = assign_splits([*people, "p99"], {"test": 0.1}, 0)
    assert len({name for name, split in more.items() if split == "test"} ^ held_out) <= 2
    named = assign_splits(people, {"val": ["p01"], "test": 0.1}, 0)
    assert named["p01"] == "val"
    assert list(named.values()).count("test") == 4
    with pytest.raises(ConfigError, match="in the splits val and test"):
        assign_splits(people, {"val": ["p01"], "test": ["p01"]}, 0)


def test_takes_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "anna" / "take.olat.h5", tmp_path / "ben" / "take.olat.h5", tmp_path / "c.olat.h5"]
    assert take_names(paths) == ["anna-take", "ben-take", "c"]


# ---------------------------------------------------------------- verify, show, merge, commands

def test_verify_finds_a_flipped_byte_anywhere(folder, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(folder / "shards", out)
    assert verify_shards(out, scheduler="sync") == []
    path = out / "shard-00001.h5"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 8):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        problems = verify_shards(out, scheduler="sync")
        assert any("shard-00001.h5: SHA-256 differs" in line for line in problems)
        assert all("shard-00001.h5" in line for line in problems)
    path.write_bytes(whole)
    (out / "shard-00005.h5").unlink()
    (out / "shard-00009.h5").write_bytes(b"")
    (out / "bank.h5").write_bytes(b"x")
    problems = verify_shards(out, scheduler="sync")
    assert [line.split(":")[0] for line in problems] == ["bank.h5", "shard-00009.h5", "shard-00005.h5"]


def test_verify_finds_broken_laws(folder, tmp_path, monkeypatch):
    """Files that are whole but wrong, as a mistake of ours would make them."""
    import olatkit.jobs.shard_making as making

    class Wrong(making.ShardWriter):
        def write(self, name, index, picture):
            changed = {"parse": picture + 200, "full": 255 - picture, "occ_fw": 1 - picture, "baked": picture // 2}
            super().write(name, index, changed.get(name, picture))

    monkeypatch.setattr(making, "ShardWriter", Wrong)
    build(folder, tmp_path / "s")
    text = "\n".join(verify_shards(tmp_path / "s", scheduler="sync"))
    for said in ("a label is 2", "not the sum of its lights", "occlusion differs", "first baked picture"):
        assert said in text


def test_show_writes_a_sheet_and_a_video(folder, tmp_path):
    paths = show_shards(folder / "shards", tmp_path, split="train", instants=2)
    assert [path.name for path in paths] == ["take0.png", "take0.mp4", "take1.png", "take1.mp4"]
    assert all(path.stat().st_size > 1000 for path in paths)
    with pytest.raises(OutputExistsError):
        show_shards(folder / "shards", tmp_path)


def test_merged_sets_hold_all_takes(folder, tmp_path):
    for number in (0, 1):
        build(folder, tmp_path / f"s{number}", takes=[folder / f"take{number}.olat.h5"])
    index = merge_shards([tmp_path / "s0", tmp_path / "s1"], tmp_path / "m", link=True)
    assert index.shards == read_index(tmp_path / "m").shards
    assert verify_shards(tmp_path / "m", scheduler="sync") == []
    both, alone = ShardSet(tmp_path / "m"), ShardSet(folder / "shards")
    assert both.pairs == alone.pairs
    np.testing.assert_array_equal(both.read_full("take1", 7), alone.read_full("take1", 7))
    with pytest.raises(ConfigError, match="'take0' is listed twice"):
        merge_shards([tmp_path / "s0", folder / "shards"], tmp_path / "x")
    with pytest.raises(OutputExistsError):
        merge_shards([tmp_path / "s0"], tmp_path / "m")
    build(folder, tmp_path / "plain", takes=[folder / "take1.olat.h5"], config=small_config())
    with pytest.raises(ConfigError, match="baked is 0"):
        merge_shards([tmp_path / "s0", tmp_path / "plain"], tmp_path / "x")


def test_commands_work_together(folder, tmp_path):
    (tmp_path / "who.json").write_text('{"take0": "anna", "take1": "ben"}')
    out, run = tmp_path / "s", CliRunner()
    arguments = [str(folder / "take0.olat.h5"), str(folder / "take1.olat.h5"), "-o", str(out), *flags(),
                 "--split", "test=ben", "--subjects", str(tmp_path / "who.json"), "--scheduler", "sync"]
    done = run.invoke(build_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "16 imagesets in 6 shards" in done.output
    assert read_json(out / "index.json")["takes"][1]["split"] == "test"
    done = run.invoke(shards_command, ["info", str(out)], catch_exceptions=False)
    assert "split test" in done.output
    assert "1 subjects, 1 takes, 8 imagesets: ben" in done.output
    done = run.invoke(shards_command, ["verify", str(out), "--scheduler", "sync"], catch_exceptions=False)
    assert "all hashes and laws hold" in done.output
    with open(out / "shard-00000.h5", "r+b") as file:
        file.seek(2000)
        file.write(b"hello")
    done = run.invoke(shards_command, ["verify", str(out), "--scheduler", "sync"])
    assert isinstance(done.exception, FormatError)
    assert "shard-00000.h5: SHA-256" in done.output
    for wrong in (["--split", "test"], ["--cluster-opt", "a=b"], ["--bake", "-1"]):
        assert run.invoke(build_command, [*arguments, *wrong]).exit_code == 2


# ---------------------------------------------------------------- SLURM

@pytest.mark.slow
def test_a_build_through_slurm(folder, tmp_path, monkeypatch):
    """A stand-in for sbatch runs the job script that dask-jobqueue writes, here and at once."""
    pytest.importorskip("dask_jobqueue")
    tools, log = tmp_path / "bin", tmp_path / "jobs"
    tools.mkdir()
    for name, script in (
        ("sbatch", f'#!/bin/sh\ncp "$1" {log}.$$\nsetsid sh "$1" >{log}.out 2>&1 &\necho "Submitted batch job $!"\n'),
        ("scancel", "#!/bin/sh\nkill -- -$1\n"),
    ):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    options = {"cores": 1, "memory": "1GB", "queue": "short", "walltime": "00:10:00", "python": sys.executable}
    with open_cluster("slurm", 2, options) as address:
        build(folder, tmp_path / "s", scheduler=address)
    assert contents(tmp_path / "s") == contents(folder / "shards")
    scripts = [path.read_text() for path in tmp_path.glob("jobs.[0-9]*")]
    assert len(scripts) == 2
    assert "#SBATCH -p short" in scripts[0]


def test_unknown_clusters_and_options_are_one_line():
    with pytest.raises(ConfigError, match="cluster 'pbs' is unknown, expected one of slurm"), open_cluster("pbs", 1, {}):
        pass
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match="SLURM cluster with"), open_cluster("slurm", 1, {"walltimes": "1"}):
        pass


def test_a_bank_without_maps_for_the_split_is_named_before_any_work(folder, tmp_path):
    bank = write_small_bank(tmp_path / "one.h5", maps=1)
    with pytest.raises(FormatError, match=r"one\.h5: no map of the bank is for 'train'"):
        build(folder, tmp_path / "s", bank=bank)
