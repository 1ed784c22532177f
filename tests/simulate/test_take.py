"""A recorded take on disk: stream, documents, truth, and the command that writes them."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from olatkit.cli.simulate import command
from olatkit.errors import ConfigError, OutputExistsError
from olatkit.io.cine import CineStream
from olatkit.io.documents import read_rig, read_schedule, write_rig, write_schedule
from olatkit.io.run_lock import running_alone
from olatkit.io.truth import read_truth
from olatkit.jobs.simulate import OUTPUTS, simulate
from olatkit.rig import default_rig
from olatkit.schedule import grouped_schedule
from olatkit.simulate.stage import Disturbances, Stage
from olatkit.simulate.subject import Subject


@pytest.fixture(scope="module")
def stage(subject: Subject) -> Stage:
    schedule = grouped_schedule(np.random.default_rng(1).permutation(12), group=4, tracking_gain=0.2, stride=5)
    return Stage(subject, default_rig(12), schedule, phase=4, disturbances=Disturbances(drop=0.1, seed=2))


@pytest.fixture(scope="module")
def take(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("take")
    simulate(stage, folder, ticks=45, truth=3, workers=2)
    return folder


def test_the_stream_holds_the_stages_frames(stage: Stage, take: Path) -> None:
    stream = CineStream(take / "take.cine")
    kept = np.setdiff1d(np.arange(45), stage.disturbances.dropped_ticks(45))
    assert len(stream) == len(kept) < 45
    assert stream.bayer == "gbrg"
    assert (stream.black_level, stream.white_level) == (64, 4095)
    for i in (0, 7, len(kept) - 1):
        np.testing.assert_array_equal(stream.read(i, i + 1)[0], stage.frame(int(kept[i])))


def test_dropped_frames_are_gaps_in_the_timestamps(stage: Stage, take: Path) -> None:
    times = CineStream(take / "take.cine").times_s
    kept = np.setdiff1d(np.arange(45), stage.disturbances.dropped_ticks(45))
    np.testing.assert_allclose(times, (kept - kept[0]) / 1000, atol=1e-8)
    assert np.diff(times).max() > 0.0019


def test_documents_are_read_back(stage: Stage, take: Path) -> None:
    schedule = read_schedule(take / "schedule.json")
    assert schedule.phase == 0
    assert schedule.tracking_gain == pytest.approx(stage.schedule.tracking_gain)
    np.testing.assert_allclose(read_rig(take / "rig.json").directions, stage.rig.directions, atol=1e-9)


def test_truth_is_exact(stage: Stage, take: Path) -> None:
    with h5py.File(take / "truth.h5") as file:
        ticks, frames = file["r_tick"][:], file["r"][:]
        np.testing.assert_array_equal(file["tick"][:][frames], ticks)
        assert file.attrs["phase"] == 4
        assert (file.attrs["subject"], file.attrs["subject_seed"]) == ("built-in head", 3)
        assert file.attrs["g_T"] == pytest.approx(stage.schedule.tracking_gain)
        assert set(np.setdiff1d(np.arange(45), file["tick"][:])) == set(file.attrs["dropped_ticks"])
        for name in ("flow_fw", "flow_bw"):
            assert file[name].shape == (len(ticks) - 1, 96, 80, 2)
        flow, _ = stage.subject.flow(ticks[0] / 1000, ticks[1] / 1000)
        np.testing.assert_array_equal(file["flow_fw"][0], flow)
        over = file.attrs["clipped_values"]
    assert len(ticks) >= 2
    truth = read_truth(take / "truth.h5", 1)
    half_code = 0.51 / 4031
    np.testing.assert_allclose(truth["olat"], stage.olat(int(ticks[1])), atol=half_code if not over else 1.0)
    tracking = stage.schedule.tracking_gain * stage.olat(int(ticks[1])).sum(0)
    np.testing.assert_allclose(truth["full"], tracking, atol=half_code + 1e-5)
    np.testing.assert_array_equal(truth["label"], stage.subject.labels(ticks[1] / 1000))


def test_workers_do_not_change_a_byte(stage: Stage, take: Path, tmp_path: Path) -> None:
    simulate(stage, tmp_path, ticks=45, truth=3, workers=1)
    for name in OUTPUTS:
        assert (tmp_path / name).read_bytes() == (take / name).read_bytes(), name


def test_progress_reaches_its_total(stage: Stage, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    simulate(stage, tmp_path, ticks=20, truth=1, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_nothing_is_overwritten_unasked(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "rig.json").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"rig\.json"):
        simulate(stage, tmp_path, ticks=5, truth=0)
    assert [p.name for p in tmp_path.iterdir()] == ["rig.json"]
    assert (tmp_path / "rig.json").read_text() == "mine"


def test_an_empty_take_is_refused(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a take of 0 frames"):
        simulate(stage, tmp_path, ticks=0)


def test_a_failure_leaves_no_half_file(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tick: int) -> np.ndarray:
        raise RuntimeError("lamp broke")

    monkeypatch.setattr(stage, "frame", fail)
    with pytest.raises(RuntimeError, match="lamp broke"):
        simulate(stage, tmp_path, ticks=5, truth=0)
    assert not list(tmp_path.iterdir())


def test_two_runs_never_write_one_folder(stage: Stage, tmp_path: Path) -> None:
    with running_alone(tmp_path / "a/take.parts"), pytest.raises(OutputExistsError, match="another run is writing there"):
        simulate(stage, tmp_path / "a", ticks=45, overwrite=True)
    assert not list(tmp_path.iterdir())


_SMALL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["olatkit", *sys.argv[2:]]
from olatkit.cli.main import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("room, full", [(3000, "take.cine"), (90_000, "truth.h5")])
def test_a_full_disk_is_one_line(take: Path, tmp_path: Path, room: int, full: str) -> None:
    """No file may grow beyond ``room`` bytes: the stream does not fit, or it does and the truth does not."""
    write_schedule(tmp_path / "s.json", grouped_schedule(range(12), group=4, tracking_gain=0.2, stride=5))
    write_rig(tmp_path / "r.json", default_rig(12))
    out, documents = tmp_path / "o", ["--rig", str(tmp_path / "r.json"), "--schedule", str(tmp_path / "s.json")]
    line = [sys.executable, "-c", _SMALL_DISK, str(room), "simulate", str(out), "--size", "32", "--seconds", "0.04"]
    done = subprocess.run([*line, *documents], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert full in done.stderr
    assert not list(out.glob("*.part"))
    assert not (out / full).exists()


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    write_rig(tmp_path / "r.json", default_rig(6))
    write_schedule(tmp_path / "s.json", grouped_schedule(range(6), group=3, tracking_gain=0.2, stride=4))
    options = ["--size", "32", "--seconds", "0.02"]
    options += ["--rig", str(tmp_path / "r.json"), "--schedule", str(tmp_path / "s.json")]
    out = tmp_path / "out"
    done = CliRunner().invoke(command, [str(out), *options, "--phase", "3", "--truth", "all", "--bits", "10"])
    assert done.exit_code == 0, done.output
    assert [Path(line).name for line in done.stdout.split()] == list(OUTPUTS)
    stream = CineStream(out / "take.cine")
    assert len(stream) == 20
    assert stream.white_level == 1023
    with h5py.File(out / "truth.h5") as file:
        assert file.attrs["phase"] == 3
    again = CliRunner().invoke(command, [str(out), *options])
    assert isinstance(again.exception, OutputExistsError)


def test_the_command_refuses_nonsense(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "x"), "--truth", "many"])
    assert result.exit_code == 2
    assert "'many', expected a number or 'all'" in result.output
