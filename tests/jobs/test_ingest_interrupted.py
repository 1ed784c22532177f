"""An ingest that is interrupted goes on to the same bytes, and takes that are there are safe."""

import random
import re
import subprocess
import sys

import pytest
from small_take import IMAGESETS, arguments, small_stage, write_take
from synthetic import still
from take_runs import NAMES, child, leftovers, on_a_small_disk, run, strike

import olatkit.jobs.ingest as job
from olatkit.capture.config import IngestConfig
from olatkit.errors import OutputExistsError
from olatkit.io.takes import open_take


def test_killed_runs_end_in_the_same_bytes(recorded, tmp_path, take_path, server):
    out, rng = tmp_path / "k.olat.h5", random.Random(1)

    struck = 0
    for _ in range(8):
        struck += strike(child(server, run, recorded, out), out, rng.uniform(0, 0.15))
        if out.exists():  # killed after the take was whole, or not in time
            assert out.read_bytes() == take_path.read_bytes()
            out.unlink()
    run(recorded, out)
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


def stop_after(count, monkeypatch, recorded, out, **options):
    """A run that is interrupted after some imagesets; the next one is not."""
    with monkeypatch.context() as patch:
        interrupt_after(count, patch)
        with pytest.raises(Interrupted):
            run(recorded, out, **options)


def test_finished_imagesets_are_not_made_again(recorded, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    stop_after(4, monkeypatch, recorded, out)
    assert not out.exists()
    assert len(list((tmp_path / "r.olat.h5.parts").glob("*.h5"))) == 4
    told = []
    done = run(recorded, out, progress=lambda *news: told.append(news))
    assert done.resumed == 4
    assert told[-1] == (IMAGESETS - 4, IMAGESETS - 4)
    assert out.read_bytes() == take_path.read_bytes()


def test_a_torn_part_is_made_again(recorded, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    stop_after(4, monkeypatch, recorded, out)
    part = tmp_path / "r.olat.h5.parts/000002.h5"
    part.write_bytes(part.read_bytes()[:1000])
    assert run(recorded, out).resumed == 3
    assert out.read_bytes() == take_path.read_bytes()


def test_parts_of_other_settings_are_refused(recorded, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    stop_after(2, monkeypatch, recorded, out, config=IngestConfig(mode="nearest"))
    with pytest.raises(OutputExistsError, match=r"r\.olat\.h5\.parts holds parts of a run with other input or settings"):
        run(recorded, out)
    assert len(list((tmp_path / "r.olat.h5.parts").glob("*.h5"))) == 2
    assert run(recorded, out, overwrite=True).resumed == 0
    assert out.read_bytes() == take_path.read_bytes()


def test_a_run_that_only_lacks_its_report_writes_it(recorded, tmp_path, take_path, monkeypatch):
    out = tmp_path / "r.olat.h5"

    def killed(*_args, **_given):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_report", killed)
        with pytest.raises(Interrupted):
            run(recorded, out, report=True)
    before = out.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(job, "merge_parts", killed)
        patch.setattr(job, "_make_imagesets", killed)
        assert run(recorded, out, report=True).resumed == IMAGESETS
    assert out.stat().st_mtime_ns == before
    assert out.read_bytes() == take_path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.olat.h5", "r.report.html"]


def test_a_take_that_another_made_meanwhile_is_left_alone(recorded, tmp_path, monkeypatch):
    out = tmp_path / "r.olat.h5"
    with monkeypatch.context() as patch:
        patch.setattr(job, "write_report", lambda *_args, **_given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(recorded, out, report=True)
    out.write_bytes(b"another take")
    with pytest.raises(OutputExistsError, match="already exists"):
        run(recorded, out, report=True)
    assert out.read_bytes() == b"another take"


# ---------------------------------------------------------------- outputs are safe

def test_an_existing_take_is_left_alone(recorded, tmp_path, take_path):
    out = tmp_path / "mine.olat.h5"
    out.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"mine\.olat\.h5: already exists"):
        run(recorded, out)
    assert out.read_text() == "precious"
    assert leftovers(out) == [out.name]
    run(recorded, out, overwrite=True)
    assert out.read_bytes() == take_path.read_bytes()


def test_the_old_take_stays_until_the_new_one_is_whole(recorded, tmp_path, monkeypatch):
    out = tmp_path / "mine.olat.h5"
    out.write_text("precious")
    interrupt_after(3, monkeypatch)
    with pytest.raises(Interrupted):
        run(recorded, out, overwrite=True)
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


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_full_disk_leaves_no_take(recorded, tmp_path, take_path, server, share):
    """No file may grow beyond a limit: first a part fails, then the merge."""
    out = tmp_path / "full.olat.h5"
    limit, words = int(share * take_path.stat().st_size), arguments(recorded, out, "--workers", "1")
    code, said = on_a_small_disk(server, limit, tmp_path / "said.txt", words)
    assert code == 1
    assert said.count("olatkit: ") == 1
    assert re.search(r"^olatkit: .*full\.olat\.h5.*File too large", said, re.MULTILINE), said
    assert "Traceback" not in said
    assert not out.exists()
    assert not list(tmp_path.rglob("*.part"))
    # With room again the same command goes on and ends in the same bytes.
    run(recorded, out)
    assert out.read_bytes() == take_path.read_bytes()
