"""Finished sets of shards: verified, shown, merged; the commands together."""

import os
import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from shard_builds import build, contents, flags
from small_shards import small_config

from olatkit.cli.build_shards import command as build_command
from olatkit.cli.shards import command as shards_command
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.documents import read_json
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.jobs.clusters import open_cluster
from olatkit.jobs.merge_shards import merge_shards
from olatkit.jobs.show_shards import show_shards
from olatkit.jobs.verify_shards import verify_shards


def test_verify_finds_a_flipped_byte_anywhere(built, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(built / "shards", out)
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


@pytest.mark.parametrize("command", ["info", "verify"])
def test_folders_that_hold_no_set_are_told_apart(built, tmp_path, command):
    def say(folder):
        error = CliRunner().invoke(shards_command, [command, str(folder)]).exception
        assert isinstance(error, FormatError)
        return str(error)

    assert say(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder; `olatkit build-shards` makes sets of shards"
    assert "no shard set (it has no index.json), expected one, a folder that `olatkit build-shards` wrote" in say(tmp_path)
    shutil.copytree(built / "shards", tmp_path / "set")
    assert f"{tmp_path}: no shard set (it has no index.json), expected one; {tmp_path / 'set'} is one" == say(tmp_path)
    (tmp_path / "set/index.json").unlink()
    assert "holds shards, but no index.json" in say(tmp_path / "set")
    (tmp_path / "set/build").mkdir()
    (tmp_path / "set/build/plan.json").write_text("{}")
    assert "has not ended; run build-shards again" in say(tmp_path / "set")


def test_verify_finds_broken_laws(built, tmp_path, monkeypatch):
    """Files that are whole but wrong, as a mistake of ours would make them."""
    import olatkit.jobs.shard_making as making

    class Wrong(making.ShardWriter):
        def write(self, name, index, picture):
            changed = {"parse": picture + 200, "full": 255 - picture, "occ_fw": 1 - picture, "baked": picture // 2}
            super().write(name, index, changed.get(name, picture))

    monkeypatch.setattr(making, "ShardWriter", Wrong)
    build(built, tmp_path / "s")
    text = "\n".join(verify_shards(tmp_path / "s", scheduler="sync"))
    for said in ("a label is 2", "not the sum of its lights", "occlusion differs", "first baked picture"):
        assert said in text


def test_show_writes_a_sheet_and_a_video(built, tmp_path):
    paths = show_shards(built / "shards", tmp_path, split="train", instants=2)
    assert [path.name for path in paths] == ["take0.png", "take0.mp4", "take1.png", "take1.mp4"]
    assert all(path.stat().st_size > 1000 for path in paths)
    with pytest.raises(OutputExistsError):
        show_shards(built / "shards", tmp_path)


def test_merged_sets_hold_all_takes(built, tmp_path):
    for number in (0, 1):
        build(built, tmp_path / f"s{number}", takes=[built / f"take{number}.olat.h5"])
    index = merge_shards([tmp_path / "s0", tmp_path / "s1"], tmp_path / "m", link=True)
    assert index.shards == read_index(tmp_path / "m").shards
    assert verify_shards(tmp_path / "m", scheduler="sync") == []
    both, alone = ShardSet(tmp_path / "m"), ShardSet(built / "shards")
    assert both.pairs == alone.pairs
    np.testing.assert_array_equal(both.read_full("take1", 7), alone.read_full("take1", 7))
    with pytest.raises(ConfigError, match="'take0' is listed twice"):
        merge_shards([tmp_path / "s0", built / "shards"], tmp_path / "x")
    with pytest.raises(OutputExistsError):
        merge_shards([tmp_path / "s0"], tmp_path / "m")
    build(built, tmp_path / "plain", takes=[built / "take1.olat.h5"], config=small_config())
    with pytest.raises(ConfigError, match="baked is 0"):
        merge_shards([tmp_path / "s0", tmp_path / "plain"], tmp_path / "x")


def test_commands_work_together(built, tmp_path):
    (tmp_path / "who.json").write_text('{"take0": "anna", "take1": "ben"}')
    out, run = tmp_path / "s", CliRunner()
    arguments = [str(built / "take0.olat.h5"), str(built / "take1.olat.h5"), "-o", str(out), *flags(),
                 "--split", "test=ben", "--subjects", str(tmp_path / "who.json"), "--scheduler", "sync"]
    done = run.invoke(build_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "16 imagesets in 6 shards" in done.output
    assert read_json(out / "index.json")["takes"][1]["split"] == "test"
    done = run.invoke(shards_command, ["info", str(out)], catch_exceptions=False)
    assert "split test" in done.output
    assert "1 subject, 1 take, 8 imagesets: ben" in done.output
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
def test_a_build_through_slurm(built, tmp_path, monkeypatch):
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
        build(built, tmp_path / "s", scheduler=address)
    assert contents(tmp_path / "s") == contents(built / "shards")
    scripts = [path.read_text() for path in tmp_path.glob("jobs.[0-9]*")]
    assert len(scripts) == 2
    assert "#SBATCH -p short" in scripts[0]


@pytest.mark.parametrize("script, said", [
    ("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n", "invalid partition"), (None, "sbatch"),
])
def test_a_queue_that_takes_no_job_is_one_line(tmp_path, monkeypatch, script, said):
    """Not a build that waits for ever for its first worker."""
    pytest.importorskip("dask_jobqueue")
    if script:
        (tmp_path / "sbatch").write_text(script)
        (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    given, refused = {"python": sys.executable}, f"SLURM does not take the workers' job: .*{said}"
    with pytest.raises(ConfigError, match=refused), open_cluster("slurm", 2, given):
        pass


def test_unknown_clusters_and_options_are_one_line():
    with pytest.raises(ConfigError, match="cluster 'pbs' is unknown, expected one of slurm"), open_cluster("pbs", 1, {}):
        pass
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ConfigError, match="SLURM cluster with"), open_cluster("slurm", 1, {"walltimes": "1"}):
        pass
