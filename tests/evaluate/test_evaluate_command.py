"""``olatkit evaluate``: the same light pairs for everybody, a report, and one line for bad input."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from small_shards import small_config, sphere_stage, write_small_bank, write_sphere_take

from olatkit.cli.evaluate import command
from olatkit.cli.train import command as train
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.evaluate.pictures import Pictures, draw_pairs, relit_pictures
from olatkit.evaluate.relighting import COPY, MEAN, NETWORK, mean_picture
from olatkit.evaluate.report import PictureSheet
from olatkit.io.shard_set import ShardSet
from olatkit.jobs.build_shards import build_shards
from olatkit.learn.lightings import lighting_matrix, open_sampler
from olatkit.learn.srgb import encode_srgb

SETTINGS = {
    "variant": "tiny", "steps": 1, "stages": [{"size": 64, "batch": 1, "share": 1}],
    "losses": {"warm_up": 0, "adversarial": False}, "loader": {"workers": 0},
    "report": {"validation_pairs": 0, "tensorboard": False},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two subjects of 2 imagesets of 64 px, one of them held out, with a bank, and a run of one step."""
    folder = tmp_path_factory.mktemp("evaluate")
    takes = [folder / f"take{n}.olat.h5" for n in range(2)]
    for n, path in enumerate(takes):
        write_sphere_take(path, 2, stage=sphere_stage(64), seed=n)
    bank = write_small_bank(folder / "maps.h5")
    build_shards(takes, folder / "set", small_config(size=64, splits={"test": ["take1"]}), bank=bank, scheduler="sync")
    (folder / "train.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    words = [folder / "set", "--config", folder / "train.yaml", "-o", folder / "run", "--device", "cpu"]
    done = CliRunner().invoke(train, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


def _evaluate(*words: object) -> str:
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_report_is_written_and_repeats_itself(work: Path, tmp_path: Path) -> None:
    said = _evaluate(work / "run", work / "set", "-o", tmp_path / "a", "--pairs", 3)
    table = (tmp_path / "a" / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:5]] == ["network", "copy input", "mean image"]
    assert table in said
    with (tmp_path / "a" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 3
    assert {row["subject"] for row in rows} == {"take1"}
    copied = [float(row["psnr"]) for row in rows if row["method"] == "copy input"]
    mean, deviation = np.mean(copied), np.std(copied, ddof=1)
    assert f"| {mean:.2f} ± {deviation:.2f} |" in table
    _evaluate(work / "run", work / "set", "-o", tmp_path / "b", "--pairs", 3)
    for name in ("scores.csv", "table.md", "pictures.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_pictures_are_the_sum_of_their_lights(work: Path) -> None:
    shards = ShardSet(work / "set", "test")
    sampler = open_sampler(work / "maps.h5", "test")
    first = next(iter(relit_pictures(shards, sampler, size=64, count=2, seed=4)))
    reader, row = shards.locate(first.take, 0)
    radiance = reader.read_radiance(row).astype(np.float64)
    light = first.light[1].permute(1, 2, 0).numpy().reshape(256, 3)
    weights = lighting_matrix(reader.header.rig) @ light * reader.header.kappa
    linear = np.einsum("lhwc,lc->chw", radiance, weights).astype(np.float32)
    torch.testing.assert_close(first.target[1], encode_srgb(torch.from_numpy(linear)), atol=1e-5, rtol=0)
    turned = sampler.turned_maps(first.maps[:, 1], first.yaw_deg[:, 1])
    np.testing.assert_allclose(first.light.permute(0, 2, 3, 1).numpy(), turned, rtol=1e-6)


def test_light_pairs_depend_on_seed_take_and_imageset_alone() -> None:
    maps, yaw = draw_pairs("anna", 3, 6, count=4, seed=0)
    again = draw_pairs("anna", 3, 6, count=4, seed=0)
    np.testing.assert_array_equal(maps, again[0])
    np.testing.assert_array_equal(yaw, again[1])
    for other in (draw_pairs("ben", 3, 6, count=4, seed=0), draw_pairs("anna", 4, 6, count=4, seed=0),
                  draw_pairs("anna", 3, 6, count=4, seed=1)):
        assert not np.array_equal(yaw, other[1])


def test_the_mean_picture_is_the_mean_of_targets_on_subjects(work: Path) -> None:
    sampler = open_sampler(work / "maps.h5", "train")
    some = list(relit_pictures(ShardSet(work / "set", "train"), sampler, size=64, count=2))
    mean = mean_picture(some)
    stack = torch.cat([s.target for s in some])
    shown = torch.cat([s.mask for s in some])[:, 0] > 0
    y, x = (int(v) for v in torch.nonzero(shown.all(0))[40])
    torch.testing.assert_close(mean[:, y, x], stack[:, :, y, x].mean(0))
    y, x = (int(v) for v in torch.nonzero(~shown.any(0))[0])
    pixels = stack.permute(0, 2, 3, 1)[shown]
    torch.testing.assert_close(mean[:, y, x], pixels.mean(0), atol=1e-5, rtol=0)


def test_without_a_test_split_the_command_that_does_is_told(work: Path, tmp_path: Path) -> None:
    """One take alone, as in the demo, has the split 'train' only."""
    build_shards([work / "take0.olat.h5"], tmp_path / "one", small_config(size=64, splits={}), bank=work / "maps.h5",
                 scheduler="sync")
    words = (work / "run", tmp_path / "one", "-o", tmp_path / "out of it")
    with pytest.raises(ConfigError, match=r"no take in split 'test', it has train; .*was trained on: olatkit ") as caught:
        _evaluate(*words)
    told = shlex.split(str(caught.value).rpartition(": ")[2])
    assert told == ["olatkit", "evaluate", *map(str, words), "--split", "train"]
    _evaluate(*told[2:])
    assert (tmp_path / "out of it" / "table.md").is_file()


def test_answers_are_shown_before_the_targets_background() -> None:
    target, relit = torch.full((1, 3, 128, 128), 0.25), torch.full((1, 3, 128, 128), 0.5)
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., :64] = 1
    maps = yaw = np.zeros((1, 2))
    pictures = Pictures("anna", "anna", 0, target, target, mask, torch.zeros(1, 3, 16, 16), maps, yaw)
    sheet = PictureSheet(1, 1)
    sheet.look(pictures, {NETWORK: relit, COPY: target, MEAN: relit})
    for column in (2, 4):
        left, right = (sheet.draw()[90:120, 132 * column + x : 132 * column + x + 40] for x in (10, 80))
        assert (left == 128).all()
        assert (right == 64).all()


def test_bad_input_is_one_line(work: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no checkpoint"):
        _evaluate(tmp_path, work / "set", "-o", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"size is 128, expected a multiple of 64, at most the shards' 64"):
        _evaluate(work / "run", work / "set", "-o", tmp_path / "out", "--size", 128)
    with pytest.raises(ConfigError, match="no take in split 'val', it has test, train"):
        _evaluate(work / "run", work / "set", "-o", tmp_path / "out", "--split", "val")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.csv").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"scores\.csv"):
        _evaluate(work / "run", work / "set", "-o", tmp_path / "out")
    assert (tmp_path / "out" / "scores.csv").read_text() == "mine"
