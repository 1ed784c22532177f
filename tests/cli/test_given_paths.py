"""Lines name files as the user named them: who works in a folder reads no path from the root."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster
from photographs import directions, manifest, sphere, write_photographs
from small_shards import write_small_bank, write_sphere_take
from small_take import FRAMES, write_take

from olatkit.cli import main as cli
from olatkit.io.images import write_exr

INGEST = ("ingest", "stage/take.cine", "--rig", "stage/rig.json", "--schedule", "stage/schedule.json", "-o")
SHARDS = ("build-shards", "a.olat.h5", "--size", "32", "--bank", "bank.h5", "--set", "labels.parsing=foreground", "-o")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture, photographs, maps, a take, a bank."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "stage").mkdir()
    write_take(folder / "stage")
    lights = directions(6)
    write_photographs(folder / "photos", sphere(lights), lights)
    manifest(folder / "photos")
    for n in range(3):
        write_exr(folder / "maps" / f"m{n}.exr", np.random.default_rng(n).random((16, 32, 3), np.float32))
    write_sphere_take(folder / "a.olat.h5", 2)
    write_small_bank(folder / "bank.h5")
    return folder


@pytest.fixture
def here(stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stock to work in."""
    shutil.copytree(stock, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def say(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Run a command line; everything it says, which must not name the folder that it runs in."""
    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["olatkit", *words])
        found = 0
        try:
            cli.main()
        except SystemExit as stop:
            found = stop.code
        said = "".join(capsys.readouterr())
        assert found == code, said
        assert str(here) not in said
        return said

    return run


@pytest.mark.parametrize("words, said", [
    ((*INGEST, "t.olat.h5"), "t.olat.h5: 7 imagesets"),
    ((*INGEST, "new/t.olat.h5", "--scheduler", "sync"), "new/t.olat.h5: 7 imagesets"),
    (("import", "photos", "-m", "photos/manifest.yaml", "-o", "p.olat.h5"), "p.olat.h5: 1 imageset of 6 lights"),
    (("bank", "build", "maps", "-o", "b.h5"), "\nb.h5\n"),
    ((*SHARDS, "s"), "s: 2 imagesets in 1 shard"),
    pytest.param(
        ("simulate", "set", "--subjects", "1", "--imagesets", "1", "--size", "16"), "set: 1 imageset of 1 subject",
        marks=pytest.mark.slow,
    ),
])
def test_outputs_are_named_as_given(say, words: tuple[str, ...], said: str) -> None:
    assert said in "\n" + say(*words)


@pytest.mark.slow
def test_processes_find_what_was_given(say) -> None:
    assert "t.olat.h5: 7 imagesets" in say(*INGEST, "t.olat.h5", "--scheduler", "processes", "--workers", "1")


@pytest.fixture(scope="module")
def address():
    """A cluster's scheduler."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp", host="127.0.0.1",
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.slow
def test_a_cluster_gets_whole_paths_and_the_user_reads_those_given(say, here: Path, address: str) -> None:
    where = ("--scheduler", address)
    assert "t.olat.h5: 7 imagesets" in say(*INGEST, "t.olat.h5", *where)
    photos = ("import", "photos", "-m", "photos/manifest.yaml", "-o")
    assert "p.olat.h5: 1 imageset of 6 lights" in say(*photos, "p.olat.h5", *where)
    assert "b.h5" in say("bank", "build", "maps", "-o", "b.h5", *where).splitlines()
    assert "set: 1 imageset of 1 subject" in say(
        "simulate", "set", "--subjects", "1", "--imagesets", "1", "--size", "16", *where)
    assert "s: 2 imagesets in 1 shard" in say(*SHARDS, "s", *where)
    assert "s: all hashes and laws hold" in say("shards", "verify", "s", *where)
    assert say("shards", "show", "s", "-o", "new/show").splitlines()[:2] == ["new/show/a.png", "new/show/a.mp4"]
    assert "olatkit: s: holds a shard set made from other takes" in say(*SHARDS, "s", "--set", "tile=16", *where, code=1)
    cine = here / "stage/take.cine"
    cine.write_bytes(cine.read_bytes()[: cine.stat().st_size // 2])
    assert "olatkit: stage/take.cine: " in say(*INGEST, "u.olat.h5", *where, code=1)
    (here / "photos/light_002.png").write_bytes(b"no picture")
    assert "olatkit: photos/light_002.png: not an image" in say(*photos, "q.olat.h5", *where, code=1)
    (here / "maps/m1.exr").write_bytes(b"no map")
    assert "olatkit: maps/m1.exr: not an image" in say("bank", "build", "maps", "-o", "c.h5", *where, code=1)


def test_errors_name_files_as_given(say, here: Path) -> None:
    cine = here / "stage/take.cine"
    assert f"olatkit: stage/take.cine: --start 0 --stop 500: the file has {FRAMES} frames" in say(
        *INGEST, "t.olat.h5", "--stop", "500", code=1)
    whole = cine.read_bytes()
    cine.write_bytes(whole[: len(whole) // 2])
    assert "olatkit: stage/take.cine: " in say(*INGEST, "t.olat.h5", code=1)
    (here / "p.olat.h5").write_bytes(b"")
    line = ("import", "photos", "-m", "photos/manifest.yaml", "-o", "p.olat.h5")
    assert "olatkit: p.olat.h5: already exists" in say(*line, code=1)
    (here / "photos/light_002.png").write_bytes(b"no picture")
    assert "olatkit: photos/light_002.png: not an image" in say(*line, "--overwrite", code=1)
    (here / "maps/m1.exr").write_bytes(b"no map")
    assert "olatkit: maps/m1.exr: not an image" in say("bank", "build", "maps", "-o", "b.h5", code=1)
    say(*SHARDS, "s")
    shard = here / "s/shard-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "olatkit: s: 3 problems; delete the files named" in say("shards", "verify", "s", code=1)
    other = ("--size", "16", "--set", "tile=8")
    assert "olatkit: s: holds a shard set made from other takes" in say(*SHARDS, "s", *other, code=1)
    assert "olatkit: s: is one of the sets to merge" in say("shards", "merge", "s", "-o", "s", "--overwrite", code=1)
