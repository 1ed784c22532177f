"""Banks are built alike by any workers, go on after a stop, and say which files cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.banks import read_bank
from olatkit.io.describe import describe
from olatkit.io.environments import read_environment
from olatkit.io.exr import write_exr
from olatkit.jobs import build_bank as job
from olatkit.jobs.build_bank import BankConfig, build_bank


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    maps = tmp_path / "maps"
    for i in range(9):
        sky = np.random.default_rng(i).exponential(1, (32, 64, 3)).astype(np.float32)
        name = f"scene{i // 2}_{('1k', '4k')[i % 2]}.exr"
        write_exr(maps / ("indoor" if i < 4 else "outdoor") / name, sky)
    (maps / "preview.png").write_bytes(b"not collected")
    return maps


def test_a_bank_holds_every_map(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = build_bank(folder, tmp_path / "bank.h5", scheduler="sync", progress=lambda a, b: seen.append((a, b)))
    bank = read_bank(tmp_path / "bank.h5")
    assert len(bank) == 9
    assert list(bank.names) == sorted(bank.names)
    assert bank.names[0] == "indoor/scene0_1k.exr"
    assert bank.scenes[0] == bank.scenes[1] == "scene0"
    assert int(bank.test.sum()) in (2, 3)
    for i, name in enumerate(bank.names):
        environment = read_environment(folder / name)
        np.testing.assert_allclose(bank.power[i], environment.power, rtol=1e-6)  # stored as float32
        assert bank.scale[i] == pytest.approx(1 / environment.mean_luminance)
    assert seen[-1] == (9, 9)
    assert done.resumed == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("bank")] == ["bank.h5"]
    with pytest.raises(OutputExistsError, match=r"bank\.h5"):
        build_bank(folder, tmp_path / "bank.h5", scheduler="sync")


def test_any_scheduler_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for scheduler, workers in (("sync", 1), ("threads", 3)):
        build_bank(folder, tmp_path / f"{scheduler}.h5", scheduler=scheduler, workers=workers)
    assert (tmp_path / "sync.h5").read_bytes() == (tmp_path / "threads.h5").read_bytes()


@pytest.mark.slow
def test_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for scheduler in ("sync", "processes"):
        build_bank(folder, tmp_path / f"{scheduler}.h5", scheduler=scheduler, workers=2)
    assert (tmp_path / "sync.h5").read_bytes() == (tmp_path / "processes.h5").read_bytes()


def test_a_stopped_build_goes_on_and_gives_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_bank(folder, tmp_path / "whole.h5", scheduler="sync")
    real, calls = job.make_entry, []

    def stops_at_the_sixth(environment):
        calls.append(environment.name)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(environment)

    monkeypatch.setattr(job, "make_entry", stops_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        build_bank(folder, tmp_path / "bank.h5", scheduler="sync")
    assert not (tmp_path / "bank.h5").exists()
    explained = describe(tmp_path / "bank.h5.parts")
    facts = {fact.key: fact.value for fact in explained.facts}
    assert explained.kind == "parts of an unfinished bank build"
    assert (facts["maps_done"], facts["source"]) == ([5, 9], str(folder))
    assert facts["next"] == "run the same bank build again: it goes on where it stopped"
    told: list[tuple[int, int]] = []
    done = build_bank(
        folder, tmp_path / "bank.h5", scheduler="sync", resumed=lambda count: told.append((count, len(calls)))
    )
    assert done.resumed == 5
    assert told == [(5, 6)]  # before a map was read
    assert len(calls) == 10
    assert (tmp_path / "bank.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_changed_files_and_settings_are_read_anew(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.hdr").write_text("no picture")  # keeps the parts of a failed build
    for _ in range(2):
        with pytest.raises(FormatError, match=r"bad\.hdr: .*; repair or remove it, or leave it out"):
            build_bank(folder, tmp_path / "bank.h5", scheduler="sync")
    assert len(list((tmp_path / "bank.h5.parts").glob("*.npz"))) == 9
    changed = folder / "outdoor" / "scene4_1k.exr"
    write_exr(changed, np.full((32, 64, 3), 7, np.float32), overwrite=True)
    done = build_bank(folder, tmp_path / "bank.h5", BankConfig(skip_bad=True), scheduler="sync")
    assert done.resumed == 8
    assert done.bank.scale[done.bank.names.index("outdoor/scene4_1k.exr")] == pytest.approx(1 / 7)
    turned = build_bank(folder, tmp_path / "t.h5", BankConfig(skip_bad=True, flip=True), scheduler="sync").bank
    np.testing.assert_allclose(turned.lighting, done.bank.lighting[:, :, ::-1], rtol=1e-5)


def test_files_that_cannot_be_used_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "a_text.hdr").write_text("no picture")
    write_exr(folder / "b_black.exr", np.zeros((8, 16, 3), np.float32))
    write_exr(folder / "c_ball.exr", np.ones((128, 128, 3), np.float32))
    with pytest.raises(FormatError, match=(
        r"^3 of 12 files cannot be used, the first is .*a_text\.hdr: not an image.*; repair or remove them, or leave them "
        r"out with --skip-bad\. 9 other maps done and waiting in bank\.h5\.parts$"
    )):
        build_bank(folder, tmp_path / "bank.h5", scheduler="sync")
    done = build_bank(folder, tmp_path / "bank.h5", BankConfig(skip_bad=True), scheduler="sync")
    assert len(done.bank) == 9
    assert ["a_text" in done.bad[0], "black everywhere" in done.bad[1], "mirror ball" in done.bad[2]] == [True] * 3


def test_copies_of_one_file_are_kept_once(folder: Path, tmp_path: Path) -> None:
    copy = folder / "renamed.exr"
    copy.write_bytes((folder / "indoor" / "scene0_1k.exr").read_bytes())
    done = build_bank(folder, tmp_path / "bank.h5", scheduler="sync")
    assert done.duplicates == (("renamed.exr", "indoor/scene0_1k.exr"),)
    assert len(done.bank) == 9


def test_what_cannot_become_a_bank(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="none: no such folder"):
        build_bank(tmp_path / "none", tmp_path / "b.h5")
    with pytest.raises(FormatError, match=r"preview\.png: is a file"):
        build_bank(folder / "preview.png", tmp_path / "b.h5")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"holds no \.hdr or \.exr file"):
        build_bank(tmp_path / "empty", tmp_path / "b.h5")
    with pytest.raises(ConfigError, match="lie on one axis"):
        build_bank(folder, tmp_path / "b.h5", BankConfig(center="+y", up="+y"))
    with pytest.raises(ConfigError, match="no map shows the scene 'paris'"):
        build_bank(folder, tmp_path / "b.h5", BankConfig(test_scenes=("paris",)), scheduler="sync")
    (tmp_path / "empty" / "bad.hdr").write_text("x")
    with pytest.raises(FormatError, match="no map can be used of 1"):
        build_bank(tmp_path / "empty", tmp_path / "c.h5", BankConfig(skip_bad=True), scheduler="sync")
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.real_data
def test_eighteen_published_maps_hold_out_six(test_data: Path, tmp_path: Path) -> None:
    bank = build_bank(test_data / "hdri", tmp_path / "bank.h5").bank
    assert len(bank) == 18
    assert int(bank.test.sum()) == 6
    assert not set(bank.part("train").scenes) & set(bank.part("test").scenes)
    for i in (0, 9, 14):
        environment = read_environment(test_data / "hdri" / bank.names[i])
        np.testing.assert_allclose(bank.power[i], environment.power, rtol=1e-6)
