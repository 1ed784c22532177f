"""A capture becomes a take: the same bytes whoever does the work and however often it is interrupted."""

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from distributed import LocalCluster
from small_take import FRAMES, IMAGESETS, LIGHTS, PHASE, arguments, small_stage, write_take
from synthetic import slide, still

import olatkit.jobs.ingest as job
from olatkit.capture.config import IngestConfig
from olatkit.errors import CaptureError, ConfigError, FormatError, OutputExistsError
from olatkit.imageset import CLIPPED_CODES, ONE_SIDED
from olatkit.io.takes import open_take

NAMES = ("take.cine", "rig.json", "schedule.json")


def run(folder, out, **given):
    return job.ingest(*(folder / name for name in NAMES), out, **{"scheduler": "sync", **given})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_take(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def take_path(folder):
    """The take that every other way of making it must equal."""
    run(folder, folder / "take.olat.h5")
    return folder / "take.olat.h5"


def leftovers(out):
    return sorted(p.name for p in out.parent.iterdir() if p.name.startswith(out.name))


# ---------------------------------------------------------------- what comes out

def test_summary_and_take_agree(folder, tmp_path):
    out = tmp_path / "a.olat.h5"
    done = run(folder, out)
    assert (done.take, done.imagesets, done.resumed, done.phase) == (out, IMAGESETS, 0, PHASE)
    assert done.phase_score > 0.9
    assert (done.dropped, done.skipped, done.crosstalk) == (0, 0, 0.0)
    take = open_take(out)
    assert len(take) == IMAGESETS
    np.testing.assert_array_equal(take.reference_frames, np.arange(17, 78, 10))
    np.testing.assert_allclose(take.times_s, take.reference_frames / 1000, atol=1e-6)
    assert take.frame_rate_hz == 100
    assert take.shape == (48, 48)
    assert leftovers(out) == ["a.olat.h5"]


def test_images_are_those_of_the_stage(take_path):
    """Behind a mosaic, 12 bits and motion: 30 dB from the truth, and 8 dB nearer than the next light's image."""
    stage = small_stage()
    take = open_take(take_path)
    truth = stage.olat(take.times_s[3])
    got = take[3].radiance
    error = np.square(got - truth).mean() / truth.max() ** 2
    assert -10 * np.log10(error) > 30
    assert np.square(got - np.roll(truth, 1, axis=0)).mean() / truth.max() ** 2 > 6 * error


def test_provenance_holds_nothing_of_this_machine(take_path, folder):
    take = open_take(take_path)
    assert take.notes["source"] == "take.cine"
    assert take.notes["phase"] == PHASE
    assert take.notes["config"] == IngestConfig().model_dump()
    content = take_path.read_bytes()
    assert str(folder).encode() not in content
    assert os.uname().nodename.encode() not in content or len(os.uname().nodename) < 4


@pytest.mark.parametrize("encoding", ["float16", "float32"])
def test_floats_may_be_stored(folder, tmp_path, take_path, encoding):
    run(folder, tmp_path / "f.olat.h5", encoding=encoding, compression="gzip")
    got, coded = open_take(tmp_path / "f.olat.h5")[2].radiance, open_take(take_path)[2].radiance
    # Codes end a little below -0.05.
    np.testing.assert_allclose(np.maximum(got, coded.min()), coded, atol=3e-3)


def test_parts_of_a_take_are_those_of_the_whole(folder, tmp_path, take_path):
    """Frames 20 to 79 alone give the same imagesets where their windows lie inside."""
    run(folder, tmp_path / "part.olat.h5", span=(20, 80), box="full", config=IngestConfig(crosstalk=0.0))
    run(folder, tmp_path / "whole.olat.h5", box="full", config=IngestConfig(crosstalk=0.0))
    part, whole = open_take(tmp_path / "part.olat.h5"), open_take(tmp_path / "whole.olat.h5")
    assert part.reference_frames.tolist() == [37, 47, 57, 67]
    np.testing.assert_array_equal(part.observations[1], whole.observations[3])
    np.testing.assert_allclose(part.times_s, part.reference_frames / 1000, atol=1e-6)


# ---------------------------------------------------------------- the same bytes

@pytest.mark.parametrize("given", [{"scheduler": "threads", "workers": 1}, {"scheduler": "threads", "workers": 5}])
def test_threads_give_the_same_bytes(folder, tmp_path, take_path, given):
    run(folder, tmp_path / "t.olat.h5", **given)
    assert (tmp_path / "t.olat.h5").read_bytes() == take_path.read_bytes()


def test_a_cluster_gives_the_same_bytes(folder, tmp_path, take_path):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as cluster:
        run(folder, tmp_path / "c.olat.h5", scheduler=cluster.scheduler_address)
    assert (tmp_path / "c.olat.h5").read_bytes() == take_path.read_bytes()


@pytest.mark.slow
def test_processes_give_the_same_bytes(folder, tmp_path, take_path):
    """Through the command line, as the workers of LocalCluster import the main module."""
    command = [sys.executable, "-m", "olatkit", *arguments(folder, tmp_path / "p.olat.h5", "--workers", "2")]
    subprocess.run([*command, "--scheduler", "processes"], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "p.olat.h5").read_bytes() == take_path.read_bytes()


@pytest.mark.parametrize("longest", [1, 3, 100])
def test_any_batch_size_gives_the_same_bytes(folder, tmp_path, take_path, monkeypatch, longest):
    monkeypatch.setattr(
        job, "_batches", lambda todo, *_: [todo[i : i + longest] for i in range(0, len(todo), longest)]
    )
    run(folder, tmp_path / "b.olat.h5")
    assert (tmp_path / "b.olat.h5").read_bytes() == take_path.read_bytes()


def test_crosstalk_and_gaps_give_the_same_bytes_too(tmp_path):
    """The recursion over frames must not depend on where a task begins."""
    keep = np.delete(np.arange(FRAMES), [33, 58])
    folder = write_take(tmp_path, keep=keep, crosstalk=0.04)
    config = IngestConfig(crosstalk=0.04)
    run(folder, tmp_path / "a.olat.h5", config=config)
    run(folder, tmp_path / "b.olat.h5", config=config, scheduler="threads", workers=7)
    assert (tmp_path / "a.olat.h5").read_bytes() == (tmp_path / "b.olat.h5").read_bytes()


# ---------------------------------------------------------------- interruptions

@pytest.fixture(scope="module")
def server():
    """Starts processes in milliseconds: children of a process that has everything imported and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["olatkit.jobs.ingest", "h5py", "hdf5plugin", "dask", "cv2"])
    return context


def strike(start, out, delay):
    """Start a run, let it begin its work, kill it after ``delay`` seconds; True if it was still alive."""
    parts = out.with_name(out.name + ".parts")
    pid, wait = start()
    deadline = time.monotonic() + 60
    while not parts.exists() and not out.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return wait() == -signal.SIGKILL


def test_killed_runs_end_in_the_same_bytes(folder, tmp_path, take_path, server):
    out, rng = tmp_path / "k.olat.h5", random.Random(1)

    def start():
        process = server.Process(target=run, args=(folder, out))
        process.start()

        def wait():
            process.join()
            return process.exitcode

        return process.pid, wait

    struck = 0
    for _ in range(8):
        struck += strike(start, out, rng.uniform(0, 0.15))
        if out.exists():  # killed after the take was whole, or not in time
            assert out.read_bytes() == take_path.read_bytes()
            out.unlink()
    run(folder, out)
    assert out.read_bytes() == take_path.read_bytes()
    assert leftovers(out) == [out.name]
    assert struck >= 3


@pytest.mark.slow
def test_killed_commands_end_in_the_same_bytes(tmp_path):
    """The real command on a longer take, twenty times."""
    folder, out, rng = write_take(tmp_path, count=400), tmp_path / "k.olat.h5", random.Random(2)
    run(folder, tmp_path / "whole.olat.h5")
    whole = (tmp_path / "whole.olat.h5").read_bytes()

    def start():
        command = [sys.executable, "-m", "olatkit", *arguments(folder, out)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process.pid, process.wait

    struck = 0
    for _ in range(20):
        struck += strike(start, out, rng.uniform(0, 0.5))
        if out.exists():
            assert out.read_bytes() == whole
            out.unlink()
    run(folder, out)
    assert out.read_bytes() == whole
    assert leftovers(out) == ["k.olat.h5"]
    assert struck >= 10


class Interrupted(Exception):
    pass


def interrupt_after(count, monkeypatch):
    """Let ``count`` imagesets be written, then stop as a crash would."""
    real, written = job.PartWriter.finish, []

    def finish(self, rows):
        if len(written) == count:
            raise Interrupted
        real(self, rows)
        written.append(rows)

    monkeypatch.setattr(job.PartWriter, "finish", finish)


def test_finished_imagesets_are_not_made_again(folder, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        with pytest.raises(Interrupted):
            run(folder, out)
    assert not out.exists()
    assert len(list((tmp_path / "r.olat.h5.parts").glob("*.h5"))) == 4
    told = []
    done = run(folder, out, progress=lambda *news: told.append(news))
    assert done.resumed == 4
    assert told[-1] == (IMAGESETS - 4, IMAGESETS - 4)
    assert out.read_bytes() == take_path.read_bytes()


def test_a_torn_part_is_made_again(folder, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        with pytest.raises(Interrupted):
            run(folder, out)
    part = tmp_path / "r.olat.h5.parts/000002.h5"
    part.write_bytes(part.read_bytes()[:1000])
    assert run(folder, out).resumed == 3
    assert out.read_bytes() == take_path.read_bytes()


def test_parts_of_other_settings_are_refused(folder, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        with pytest.raises(Interrupted):
            run(folder, out, config=IngestConfig(mode="nearest"))
    with pytest.raises(OutputExistsError, match=r"r\.olat\.h5\.parts holds parts of a run with other input or settings"):
        run(folder, out)
    assert len(list((tmp_path / "r.olat.h5.parts").glob("*.h5"))) == 2
    assert run(folder, out, overwrite=True).resumed == 0
    assert out.read_bytes() == take_path.read_bytes()


# ---------------------------------------------------------------- outputs are safe

def test_an_existing_take_is_left_alone(folder, tmp_path, take_path):
    out = tmp_path / "mine.olat.h5"
    out.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"mine\.olat\.h5 exists"):
        run(folder, out)
    assert out.read_text() == "precious"
    assert leftovers(out) == [out.name]
    run(folder, out, overwrite=True)
    assert out.read_bytes() == take_path.read_bytes()


def test_the_old_take_stays_until_the_new_one_is_whole(folder, tmp_path, monkeypatch):
    out = tmp_path / "mine.olat.h5"
    out.write_text("precious")
    interrupt_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        run(folder, out, overwrite=True)
    assert out.read_text() == "precious"


def test_a_replaced_source_is_read_anew(tmp_path):
    """The same path with other frames, in one process: nothing of the old file may be used."""
    (tmp_path / "a").mkdir()
    folder = write_take(tmp_path / "a", small_stage(motion=still))
    run(folder, tmp_path / "1.olat.h5")
    for name in NAMES:
        (folder / name).unlink()
    write_take(folder, small_stage(motion=still, level=0.3, phase=12))
    assert run(folder, tmp_path / "2.olat.h5").phase == 12
    first, second = (open_take(tmp_path / f"{n}.olat.h5")[0].radiance.mean() for n in (1, 2))
    assert second == pytest.approx(first / 2, rel=0.02)


_SMALL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["olatkit", *sys.argv[2:]]
from olatkit.cli.main import main
main()
"""


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_full_disk_leaves_no_take(folder, tmp_path, take_path, share):
    """No file may grow beyond a limit: first a part fails, then the merge."""
    out = tmp_path / "full.olat.h5"
    limit = str(int(share * take_path.stat().st_size))
    command = [sys.executable, "-c", _SMALL_DISK, limit, *arguments(folder, out, "--workers", "1")]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("olatkit: ") == 1
    assert re.search(r"^olatkit: .*full\.olat\.h5.*File too large", failed.stderr, re.MULTILINE), failed.stderr
    assert "Traceback" not in failed.stderr
    assert not out.exists()
    assert not list(tmp_path.rglob("*.part"))
    # With room again the same command goes on and ends in the same bytes.
    run(folder, out)
    assert out.read_bytes() == take_path.read_bytes()


# ---------------------------------------------------------------- difficult takes

def test_dropped_frames_are_counted_and_flagged(tmp_path):
    dropped = [31, 44, 45]
    folder = write_take(tmp_path, keep=np.delete(np.arange(FRAMES), dropped))
    done = run(folder, tmp_path / "d.olat.h5")
    assert (done.dropped, done.phase, done.imagesets) == (3, PHASE, IMAGESETS)
    take = open_take(tmp_path / "d.olat.h5")
    schedule = take.schedule
    for tick in dropped:
        light = schedule.slot_lights[(tick - PHASE) % 20]
        near = [i for i, r in enumerate(take.reference_ticks) if abs(int(r) - tick) < 20]
        assert (take.quality[near, light] & ONE_SIDED).all()
    # Ticks count lost frames, indices in the file do not.
    late = take.reference_ticks > 45
    np.testing.assert_array_equal(take.reference_frames[late], take.reference_ticks[late] - 3)
    np.testing.assert_allclose(take.times_s, take.reference_ticks / 1000, atol=1e-6)


def test_a_dropped_reference_frame_skips_its_imageset(tmp_path):
    folder = write_take(tmp_path, keep=np.delete(np.arange(FRAMES), [47]))
    done = run(folder, tmp_path / "d.olat.h5")
    assert (done.skipped, done.imagesets) == (1, IMAGESETS - 1)
    assert 47 not in open_take(tmp_path / "d.olat.h5").reference_ticks


def test_unrecorded_gaps_are_found(tmp_path):
    """Frames vanish and the file has no timestamps: the cycle itself tells."""
    kept = np.delete(np.arange(200), np.arange(101, 106))
    folder = write_take(tmp_path, small_stage(motion=still), count=200, keep=kept, timestamps=False)
    run(folder, tmp_path / "g.olat.h5")
    take = open_take(tmp_path / "g.olat.h5")
    assert [n for _, n in take.notes["unrecorded_gaps"]] == [5]
    truth = small_stage(motion=still).olat(0)
    for i in (0, len(take) - 1):
        assert -10 * np.log10(np.square(take[i].radiance - truth).mean() / truth.max() ** 2) > 28


def test_crosstalk_of_a_take_is_inverted(tmp_path):
    still_stage = small_stage(motion=still)
    folder = write_take(tmp_path, still_stage, crosstalk=0.2)
    truth, errors = still_stage.olat(0), {}
    for name, share in (("left", 0.0), ("inverted", 0.2)):
        run(folder, tmp_path / f"{name}.olat.h5", config=IngestConfig(crosstalk=share))
        errors[name] = np.square(open_take(tmp_path / f"{name}.olat.h5")[2].radiance - truth).mean()
    assert errors["inverted"] < 0.5 * errors["left"]


def test_values_beyond_the_codes_are_reported(tmp_path):
    """A rig that calls one light ten times dimmer than it is lifts its image beyond what codes hold."""
    folder = write_take(tmp_path)
    document = json.loads((folder / "rig.json").read_text())
    document["lights"][5]["gain"] = [0.08, 0.08, 0.08]
    (folder / "rig.json").write_text(json.dumps(document))
    done = run(folder, tmp_path / "m.olat.h5")
    assert done.clipped > 0
    take = open_take(tmp_path / "m.olat.h5")
    assert take.stats["beyond_codes"].sum() == done.clipped
    assert (take.quality[:, 5] & CLIPPED_CODES).all()


def test_a_smaller_size(folder, tmp_path, take_path):
    run(folder, tmp_path / "s.olat.h5", size=(24, 24), box="full")
    small, large = open_take(tmp_path / "s.olat.h5"), open_take(take_path)
    assert small.shape == (24, 24)
    reduced = large[3].radiance.reshape(LIGHTS, 24, 2, 24, 2, 3).mean(axis=(2, 4))
    assert np.abs(small[3].radiance - reduced).mean() < 0.01


def test_a_phase_given_by_hand_wins(folder, tmp_path, caplog):
    done = run(folder, tmp_path / "p.olat.h5", phase=PHASE + 20)
    assert done.phase == PHASE
    assert not caplog.text
    wrong = run(folder, tmp_path / "w.olat.h5", phase=PHASE + 3)
    assert wrong.phase == PHASE + 3
    with open_take(tmp_path / "p.olat.h5") as right, open_take(tmp_path / "w.olat.h5") as other:
        assert set((other.reference_frames - right.reference_frames[0]) % 10) == {3}  # the stride is 10
        assert other.notes["unrecorded_gaps"] == []
    assert f"phase {PHASE + 3} was given, the frames say {PHASE}" in caplog.text


def test_dark_frames_are_subtracted(folder, tmp_path):
    """A glow in every frame of the take and of the dark stream leaves no trace."""
    from olatkit.io.cine_writer import write_cine
    from olatkit.io.sources import open_stream

    stream = open_stream(folder / "take.cine")
    glow = np.linspace(0, 200, 48)[:, None].round().astype(np.uint16)
    raw = np.minimum(stream.read(0, FRAMES) + glow, 4095)
    shining = tmp_path / "shining"
    shining.mkdir()
    options = {"frame_rate_hz": 1000.0, "bayer": "gbrg", "packing": "p12l", "bits": 12, "black_level": 64,
               "white_level": 4095}
    write_cine(shining / "take.cine", raw, **options)
    write_cine(tmp_path / "dark.cine", np.broadcast_to(64 + glow, (20, 48, 48)).astype(np.uint16), **options)
    for name in NAMES[1:]:
        (shining / name).write_bytes((folder / name).read_bytes())
    run(shining, tmp_path / "a.olat.h5", dark=tmp_path / "dark.cine", box="full")
    run(folder, tmp_path / "b.olat.h5", box="full")
    a, b = (open_take(tmp_path / f"{n}.olat.h5")[3].radiance for n in "ab")
    assert np.abs(a - b).mean() < 1e-3


# ---------------------------------------------------------------- inputs that cannot work

def test_a_take_shorter_than_a_cycle(tmp_path):
    folder = write_take(tmp_path, count=19)
    with pytest.raises(CaptureError, match="19 frames are shorter than one cycle of 20"):
        run(folder, tmp_path / "x.olat.h5")
    assert leftovers(tmp_path / "x.olat.h5") == []


def test_a_take_without_room_for_an_imageset(tmp_path):
    folder = write_take(tmp_path, count=24)
    with pytest.raises(CaptureError, match="no reference instant has half a cycle"):
        run(folder, tmp_path / "x.olat.h5")


def test_an_overexposed_take(tmp_path):
    folder = write_take(tmp_path, small_stage(motion=slide(5, 0), level=0.6), exposure=12.0)
    with pytest.raises(CaptureError, match=r"of the subject's pixels are saturated over one cycle, expected under 20 %"):
        run(folder, tmp_path / "x.olat.h5")
    assert leftovers(tmp_path / "x.olat.h5") == []


def test_wrong_schedule(tmp_path):
    folder = write_take(tmp_path)
    document = json.loads((folder / "schedule.json").read_text())
    single = [item for item in document["frames"] if item["k"] == "olat"]
    for item, light in zip(single, np.random.default_rng(77).permutation(LIGHTS).tolist(), strict=True):
        item["l"] = light
    (folder / "schedule.json").write_text(json.dumps(document))
    with pytest.raises(CaptureError, match="no phase"):
        run(folder, tmp_path / "x.olat.h5")


def test_frames_outside_the_file(folder, tmp_path):
    looks = []
    with pytest.raises(ConfigError, match="frames 10 to 500 asked for, the file has frames 0 to 89"):
        run(folder, tmp_path / "x.olat.h5", span=(10, 500), scan_progress=lambda *counts: looks.append(counts))
    assert looks == []  # what needs no look at the frames is told before the first


def test_a_rig_of_another_stage_is_told_before_frames_are_looked_at(folder, tmp_path):
    rig = json.loads((folder / "rig.json").read_text())
    (tmp_path / "rig.json").write_text(json.dumps({"lights": rig["lights"][:-1]}))
    looks = []
    with pytest.raises(ConfigError, match=r"rig 'rig\.json' has 17 lights, schedule 'grouped' 18"):
        job.ingest(folder / "take.cine", tmp_path / "rig.json", folder / "schedule.json", tmp_path / "x.olat.h5",
                   scan_progress=lambda *counts: looks.append(counts))
    assert looks == []


@pytest.mark.parametrize("box", [(0, 0, 60, 48), (-2, 0, 20, 20), (0, 0, 8, 8)])
def test_regions_outside_the_picture(folder, tmp_path, box):
    with pytest.raises(ConfigError, match="does not lie in the picture of 48x48, or is under 16 pixels"):
        run(folder, tmp_path / "x.olat.h5", box=box)


def test_sizes_larger_than_the_camera(folder, tmp_path):
    with pytest.raises(ConfigError, match="size 96x96 is larger than the camera's 48x48"):
        run(folder, tmp_path / "x.olat.h5", size=(96, 96))


def test_truncated_capture(tmp_path):
    folder = write_take(tmp_path)
    path = folder / "take.cine"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(FormatError, match=r"take\.cine"):
        run(folder, tmp_path / "x.olat.h5")
    assert leftovers(tmp_path / "x.olat.h5") == []


# ---------------------------------------------------------------- memory

_PEAK = """
import sys
from pathlib import Path
from olatkit.jobs.ingest import ingest
folder = Path(sys.argv[1])
ingest(*(folder / n for n in ("take.cine", "rig.json", "schedule.json")), folder / "m.olat.h5", scheduler="sync",
       workers=1, overwrite=True)
status = Path("/proc/self/status").read_text()  # getrusage would count what this process was forked from
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_take(tmp_path):
    """Four times the frames may cost what their times and features cost, not what their pixels cost."""
    peaks = {}
    for count in (400, 1600):
        folder = tmp_path / str(count)
        folder.mkdir()
        write_take(folder, small_stage(size=(96, 96), radius_px=30.0, motion=still), count=count)
        ran = subprocess.run(
            [sys.executable, "-c", _PEAK, str(folder)], check=True, capture_output=True, text=True, timeout=600
        )
        peaks[count] = float(ran.stdout.split()[-1])
    one_frame_mb = 96 * 96 * 3 * 4 / 2**20
    assert peaks[1600] - peaks[400] < 0.25 * 1200 * one_frame_mb


