"""A capture becomes a take: what comes out, whoever does the work, and what cannot work."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from distributed import LocalCluster
from small_take import FRAMES, IMAGESETS, LIGHTS, PHASE, arguments, small_stage, write_take
from synthetic import slide, still
from take_runs import NAMES, leftovers, run

import olatkit.jobs.ingest as job
from olatkit.capture.config import IngestConfig
from olatkit.errors import CaptureError, ConfigError, FormatError, OutputExistsError
from olatkit.imageset import CLIPPED_CODES, ONE_SIDED
from olatkit.io.takes import open_take


def test_summary_and_take_agree(recorded, tmp_path):
    out = tmp_path / "a.olat.h5"
    done = run(recorded, out)
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


def test_provenance_holds_nothing_of_this_machine(take_path, recorded):
    take = open_take(take_path)
    assert take.notes["source"] == "take.cine"
    assert take.notes["phase"] == PHASE
    assert take.notes["config"] == IngestConfig().model_dump()
    content = take_path.read_bytes()
    assert str(recorded).encode() not in content
    assert os.uname().nodename.encode() not in content or len(os.uname().nodename) < 4


@pytest.mark.parametrize("encoding", ["float16", "float32"])
def test_floats_may_be_stored(recorded, tmp_path, take_path, encoding):
    run(recorded, tmp_path / "f.olat.h5", encoding=encoding, compression="gzip")
    got, coded = open_take(tmp_path / "f.olat.h5")[2].radiance, open_take(take_path)[2].radiance
    # Codes end a little below -0.05.
    np.testing.assert_allclose(np.maximum(got, coded.min()), coded, atol=3e-3)


def test_parts_of_a_take_are_those_of_the_whole(recorded, tmp_path, take_path):
    """Frames 20 to 79 alone give the same imagesets where their windows lie inside."""
    run(recorded, tmp_path / "part.olat.h5", span=(20, 80), box="full", config=IngestConfig(crosstalk=0.0))
    run(recorded, tmp_path / "whole.olat.h5", box="full", config=IngestConfig(crosstalk=0.0))
    part, whole = open_take(tmp_path / "part.olat.h5"), open_take(tmp_path / "whole.olat.h5")
    assert part.reference_frames.tolist() == [37, 47, 57, 67]
    np.testing.assert_array_equal(part.observations[1], whole.observations[3])
    np.testing.assert_allclose(part.times_s, part.reference_frames / 1000, atol=1e-6)


# ---------------------------------------------------------------- the same bytes

@pytest.mark.parametrize("given", [{"scheduler": "threads", "workers": 1}, {"scheduler": "threads", "workers": 5}])
def test_threads_give_the_same_bytes(recorded, tmp_path, take_path, given):
    run(recorded, tmp_path / "t.olat.h5", **given)
    assert (tmp_path / "t.olat.h5").read_bytes() == take_path.read_bytes()


def test_a_cluster_gives_the_same_bytes(recorded, tmp_path, take_path):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as cluster:
        run(recorded, tmp_path / "c.olat.h5", scheduler=cluster.scheduler_address)
    assert (tmp_path / "c.olat.h5").read_bytes() == take_path.read_bytes()


@pytest.mark.slow
def test_processes_give_the_same_bytes(recorded, tmp_path, take_path):
    """Through the command line, as the workers of LocalCluster import the main module."""
    command = [sys.executable, "-m", "olatkit", *arguments(recorded, tmp_path / "p.olat.h5", "--workers", "2")]
    subprocess.run([*command, "--scheduler", "processes"], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "p.olat.h5").read_bytes() == take_path.read_bytes()


@pytest.mark.parametrize("longest", [1, 3, 100])
def test_any_batch_size_gives_the_same_bytes(recorded, tmp_path, take_path, monkeypatch, longest):
    monkeypatch.setattr(
        job, "_batches", lambda todo, *_: [todo[i : i + longest] for i in range(0, len(todo), longest)]
    )
    run(recorded, tmp_path / "b.olat.h5")
    assert (tmp_path / "b.olat.h5").read_bytes() == take_path.read_bytes()


def test_crosstalk_and_gaps_give_the_same_bytes_too(tmp_path):
    """The recursion over frames must not depend on where a task begins."""
    keep = np.delete(np.arange(FRAMES), [33, 58])
    folder = write_take(tmp_path, keep=keep, crosstalk=0.04)
    config = IngestConfig(crosstalk=0.04)
    run(folder, tmp_path / "a.olat.h5", config=config)
    run(folder, tmp_path / "b.olat.h5", config=config, scheduler="threads", workers=7)
    assert (tmp_path / "a.olat.h5").read_bytes() == (tmp_path / "b.olat.h5").read_bytes()


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


def test_a_smaller_size(recorded, tmp_path, take_path):
    run(recorded, tmp_path / "s.olat.h5", size=(24, 24), box="full")
    small, large = open_take(tmp_path / "s.olat.h5"), open_take(take_path)
    assert small.shape == (24, 24)
    reduced = large[3].radiance.reshape(LIGHTS, 24, 2, 24, 2, 3).mean(axis=(2, 4))
    assert np.abs(small[3].radiance - reduced).mean() < 0.01


def test_a_phase_given_by_hand_wins(recorded, tmp_path, caplog):
    done = run(recorded, tmp_path / "p.olat.h5", phase=PHASE + 20)
    assert done.phase == PHASE
    assert not caplog.text
    wrong = run(recorded, tmp_path / "w.olat.h5", phase=PHASE + 3)
    assert wrong.phase == PHASE + 3
    with open_take(tmp_path / "p.olat.h5") as right, open_take(tmp_path / "w.olat.h5") as other:
        assert set((other.reference_frames - right.reference_frames[0]) % 10) == {3}  # the stride is 10
        assert other.notes["unrecorded_gaps"] == []
    assert f"phase {PHASE + 3} was given, the frames say {PHASE}" in caplog.text


def test_dark_frames_are_subtracted(recorded, tmp_path):
    """A glow in every frame of the take and of the dark stream leaves no trace."""
    from olatkit.io.cine_writer import write_cine
    from olatkit.io.sources import open_stream

    stream = open_stream(recorded / "take.cine")
    glow = np.linspace(0, 200, 48)[:, None].round().astype(np.uint16)
    raw = np.minimum(stream.read(0, FRAMES) + glow, 4095)
    shining = tmp_path / "shining"
    shining.mkdir()
    options = {"frame_rate_hz": 1000.0, "bayer": "gbrg", "packing": "p12l", "bits": 12, "black_level": 64,
               "white_level": 4095}
    write_cine(shining / "take.cine", raw, **options)
    write_cine(tmp_path / "dark.cine", np.broadcast_to(64 + glow, (20, 48, 48)).astype(np.uint16), **options)
    for name in NAMES[1:]:
        (shining / name).write_bytes((recorded / name).read_bytes())
    run(shining, tmp_path / "a.olat.h5", dark=tmp_path / "dark.cine", box="full")
    run(recorded, tmp_path / "b.olat.h5", box="full")
    a, b = (open_take(tmp_path / f"{n}.olat.h5")[3].radiance for n in "ab")
    assert np.abs(a - b).mean() < 1e-3


# ---------------------------------------------------------------- inputs that cannot work

def test_a_take_shorter_than_a_cycle(tmp_path):
    folder = write_take(tmp_path, count=19)
    with pytest.raises(CaptureError, match="19 frames, shorter than one cycle of 20"):
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


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_no_take_to_write(recorded, tmp_path, overwrite):
    with pytest.raises(OutputExistsError, match="is a folder, expected the name of a file to write"):
        run(recorded, tmp_path, overwrite=overwrite)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("asked, message", [
    ({"span": (10, 500)}, "--start 10 --stop 500: the file has 90 frames, expected 0 to 90"),
    ({"box": (0, 0, 400, 400)}, "region 400x400 at (0, 0) does not lie in the picture"),
    ({"size": (480, 480)}, "size 480x480 is larger than the camera's"),
])
def test_what_the_file_has_not_is_told_before_frames_are_looked_at(recorded, tmp_path, asked, message):
    looks = []
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(recorded, tmp_path / "x.olat.h5", scan_progress=lambda *counts: looks.append(counts), **asked)
    assert looks == []


def test_a_rig_of_another_stage_is_told_before_frames_are_looked_at(recorded, tmp_path):
    rig = json.loads((recorded / "rig.json").read_text())
    (tmp_path / "rig.json").write_text(json.dumps({"lights": rig["lights"][:-1]}))
    looks = []
    with pytest.raises(ConfigError, match=r"rig 'rig\.json' has 17 lights, schedule 'grouped' 18"):
        job.ingest(recorded / "take.cine", tmp_path / "rig.json", recorded / "schedule.json", tmp_path / "x.olat.h5",
                   scan_progress=lambda *counts: looks.append(counts))
    assert looks == []


def test_frames_that_are_left_out_are_not_read(recorded, tmp_path):
    looks = []
    run(recorded, tmp_path / "x.olat.h5", span=(5, 80), scan_progress=lambda *counts: looks.append(counts))
    assert looks[-1] == (75, 75)


@pytest.mark.parametrize("box", [(0, 0, 60, 48), (-2, 0, 20, 20), (0, 0, 8, 8)])
def test_regions_outside_the_picture(recorded, tmp_path, box):
    with pytest.raises(ConfigError, match="does not lie in the picture of 48x48, or is under 16 pixels"):
        run(recorded, tmp_path / "x.olat.h5", box=box)


def test_sizes_larger_than_the_camera(recorded, tmp_path):
    with pytest.raises(ConfigError, match="size 96x96 is larger than the camera's 48x48"):
        run(recorded, tmp_path / "x.olat.h5", size=(96, 96))


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
