"""``olatkit train``: from shards on disk to checkpoints, and one line for every kind of bad input."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import h5py
import pytest
import torch
import yaml
from click.testing import CliRunner
from painted_runs import same
from small_shards import small_config, sphere_stage, write_small_bank, write_sphere_take

from olatkit.cli.main import STOPPED
from olatkit.cli.train import command
from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.shard_set import ShardSet
from olatkit.jobs.build_shards import build_shards
from olatkit.learn.checkpoint import find_checkpoints, load_network, read_checkpoint
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.feeding import open_shards
from olatkit.learn.schedule import plan_stages

PRESETS = Path(__file__).resolve().parents[2] / "pipelines" / "train_presets"
SETTINGS = {
    "variant": "tiny", "steps": 2, "stages": [{"size": 64, "batch": 1, "share": 1}], "losses": {"warm_up": 0},
    "critic": {"widths": [8, 8, 8, 8], "steps": 1}, "loader": {"workers": 0},
    "report": {"metrics_every": 1, "checkpoint_every": 1, "validation_pairs": 2, "tensorboard": False},
}

# Operation, channels in and out, side of the result [px].
_PLAIN, _HALVING = "3x3, group norm, prelu", "3x3 s2, group norm, prelu"
LAYERS_OF_BASE = {
    "E0": ("7x7, prelu", 3, 29, 512),
    "E1a": (_HALVING, 32, 64, 256), "E1b": (_PLAIN, 64, 64, 256),
    "E2a": (_HALVING, 64, 128, 128), "E2b": (_PLAIN, 128, 128, 128),
    "E3a": (_HALVING, 128, 256, 64), "E3b": (_PLAIN, 256, 256, 64),
    "E4a": (_HALVING, 256, 512, 32), "E4b": (_PLAIN, 512, 512, 32),
    "LH1": (_PLAIN, 512, 512, 32), "LH2": ("3x3", 512, 1024, 32),
    "E5": (_HALVING, 512, 512, 16), "E6": (_HALVING, 512, 512, 8), "E7": ("3x3", 512, 512, 8),
    "LE1": ("full, prelu", 768, 512, 1), "LE2": ("full, prelu", 512, 256, 1),
    "D6": (_PLAIN, 768, 512, 8), "D5": (_PLAIN, 512, 512, 16),
    "D4a": (_PLAIN, 1024, 512, 32), "D4b": (_PLAIN, 512, 512, 32),
    "D3a": (_PLAIN, 768, 256, 64), "D3b": (_PLAIN, 256, 256, 64),
    "D2a": (_PLAIN, 384, 128, 128), "D2b": (_PLAIN, 128, 128, 128),
    "D1a": (_PLAIN, 192, 64, 256), "D1b": (_PLAIN, 64, 64, 256),
    "D0": (_PLAIN, 96, 32, 512), "rgb": ("3x3", 32, 3, 512), "parsing": ("3x3", 32, 19, 512),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects of 3 imagesets of 64 px, one of them held out, with a bank."""
    folder = tmp_path_factory.mktemp("shards")
    takes = [folder / f"take{n}.olat.h5" for n in range(2)]
    for n, path in enumerate(takes):
        write_sphere_take(path, 3, stage=sphere_stage(64), seed=n)
    bank = write_small_bank(folder / "maps.h5")
    build_shards(
        takes, folder / "set", small_config(size=64, bake=1, splits={"test": ["take1"]}), bank=bank, scheduler="sync"
    )
    return folder / "set"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    return path


def _run(*words: object, catch: bool = False) -> str:
    done = CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=catch)
    assert catch or done.exit_code == 0, done.output
    return done.output


def test_shards_to_a_network(shards: Path, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    said = _run(shards, "--config", settings, "-o", run, "--device", "cpu")
    assert said.splitlines()[0] == "tiny, 2 steps on 1 x cpu"
    assert said.splitlines()[-1] == str(run / "step-0000002.pt")
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["val_psnr"]) > 0
    network = load_network(run)
    relit, light, parsing = network(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 16, 16))
    assert relit.shape == (1, 3, 64, 64)
    assert light.shape == (1, 3, 16, 16)
    assert parsing.shape == (1, 1, 64, 64)
    assert not network.training


def test_resuming_reads_the_next_samples(shards: Path, settings: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    _run(shards, "--config", settings, "-o", whole, "--device", "cpu", "--set", "steps=3")
    shutil.copytree(whole, parts)
    for path in find_checkpoints(parts)[-1:]:  # as if it had been killed before the last step
        path.unlink()
    assert find_checkpoints(parts)[-1].name == "step-0000002.pt"
    # Without --config the settings are those that the run was begun with, "steps" among them.
    said = _run(shards, "-o", parts, "--device", "cpu", "--resume", "--workers", "1")
    assert said.splitlines()[0] == "tiny, 3 steps on 1 x cpu, going on from step-0000002"
    same(*({**read_checkpoint(path), "config": None, "path": None} for path in (whole, parts)))


@pytest.mark.parametrize(("stop", "kept"), [
    (1, "there is no checkpoint yet, so it begins anew"), (3, "run it with --resume to go on from step-0000002"),
])
def test_an_interruption_says_where_it_would_go_on(
    shards: Path, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, kept: str
) -> None:
    def interrupt(_step: int, _steps: int, _news: str) -> None:
        if _step == stop:
            raise KeyboardInterrupt

    @contextmanager
    def bar(_name: str) -> Iterator[object]:
        yield interrupt

    monkeypatch.setattr("olatkit.cli.train.progress_bar", bar)
    words = [shards, "--config", settings, "-o", tmp_path / "run", "--device", "cpu", "--set", "steps=4", "--set",
             "report.checkpoint_every=2"]
    context = click.Context(command, info_name="train")
    context.meta.clear()
    with pytest.raises(KeyboardInterrupt), command.make_context("train", [str(w) for w in words], parent=context) as made:
        command.invoke(made)
    assert context.meta[STOPPED] == kept


def test_baked_pairs_train_too(shards: Path, settings: Path, tmp_path: Path) -> None:
    _run(shards, "--config", settings, "-o", tmp_path / "run", "--device", "cpu", "--set", "loader.source=baked")
    assert find_checkpoints(tmp_path / "run")


def test_describe_prints_the_layer_table() -> None:
    said = _run("--describe").splitlines()
    rows = {words[0]: words[1:] for words in map(str.split, said) if words and words[0] in LAYERS_OF_BASE}
    for name, (kind, inputs, outputs, size) in LAYERS_OF_BASE.items():
        assert rows[name][:-2] == [*kind.split(), str(inputs), str(outputs), str(size)], name
        # Parameters and multiplications follow from the other columns.
        kernel = 7 if name == "E0" else 1 if name.startswith("LE") else 3
        weights = kernel**2 * inputs * outputs
        extra = (2 * outputs if "norm" in kind else outputs) + ("prelu" in kind)
        assert int(rows[name][-2].replace(",", "")) == weights + extra, name
        assert float(rows[name][-1].replace(",", "")) == pytest.approx(weights * size**2 / 1e6, abs=0.051), name
    assert len([line for line in said if line.startswith(("E", "D", "L", "rgb", "parsing"))]) == len(LAYERS_OF_BASE)


@pytest.mark.parametrize(
    ("variant", "size", "lines"),
    [
        ("base", 512, ("encoder: 18.87 M parameters, 23.77 GMAC", "decoder: 16.64 M parameters, 45.98 GMAC",
                       "network: 35.51 M parameters, 69.75 GMAC", "critic: 15.93 M parameters, 8.29 GMAC")),
        ("small", 512, ("encoder: 6.21 M parameters, 11.16 GMAC", "decoder: 5.31 M parameters, 23.56 GMAC",
                        "network: 11.53 M parameters, 34.71 GMAC", "critic: 15.93 M parameters, 8.29 GMAC")),
        ("lite", 512, ("encoder: 0.34 M parameters, 0.38 GMAC", "decoder: 0.59 M parameters, 1.66 GMAC",
                       "network: 0.93 M parameters, 2.04 GMAC", "critic: 15.93 M parameters, 8.29 GMAC")),
        ("tiny", 64, ("encoder: 0.59 M parameters, 0.02 GMAC", "decoder: 0.23 M parameters, 0.02 GMAC",
                      "network: 0.82 M parameters, 0.04 GMAC", "critic: 2.03 M parameters, 0.11 GMAC")),
    ],
)
def test_describe_sums_up_every_variant(variant: str, size: int, lines: tuple[str, ...]) -> None:
    stage = f"stages=[{{size: {size}, batch: 1, share: 1}}]"
    said = _run("--describe", "--set", f"variant={variant}", "--set", stage).splitlines()
    assert said[0] == f"{variant}, pictures of {size} px"
    assert [line for line in said if "GMAC" in line] == [f"{line} per picture" for line in lines]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give a folder of SHARDS and -o RUN, or --describe"),
        (("somewhere",), "give a folder of SHARDS"),
        (("somewhere", "-o", "run", "--resume", "--overwrite"), "give one of them"),
        (("somewhere", "-o", "run", "--accept-changes"), "--accept-changes is for --resume"),
    ],
)
def test_wrong_usage_is_code_2(words: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(command, list(words))
    assert done.exit_code == 2
    assert message in done.output


def _fail(error: type[Exception], match: str, *words: object) -> None:
    with pytest.raises(error, match=match):
        _run(*words)


def test_bad_input_is_told_in_one_line(shards: Path, settings: Path, tmp_path: Path) -> None:
    usual = ("--config", settings, "-o", tmp_path / "run", "--device", "cpu")
    _fail(FormatError, "no such folder", tmp_path / "nowhere", *usual)
    large = "[{size: 64, batch: 1, share: 0.5}, {size: 128, batch: 1, share: 0.5}]"
    _fail(
        ConfigError, r"pictures of 64 px, but stages\[1\].size is 128; build shards with --size 128, or end .* at 64",
        shards, *usual, "--set", f"stages={large}",
    )
    _fail(ConfigError, "unknown setting 'losses.temporl', expected one of losses.structure", shards, *usual,
          "--set", "losses.temporl=false")
    _fail(ConfigError, r"^--set: setting 'stages.0.size' is 96: ", shards, *usual,
          "--set", "stages=[{size: 96, batch: 1, share: 1}]")
    _fail(FormatError, "no such file; make a bank", shards, *usual, "--bank", tmp_path / "none.h5")
    assert not (tmp_path / "run").exists()


def test_shards_that_cannot_train_are_refused(shards: Path, settings: Path, tmp_path: Path) -> None:
    usual = ("--config", settings, "-o", tmp_path / "run", "--device", "cpu")
    takes = [shards.parent / f"take{n}.olat.h5" for n in range(2)]
    build_shards(takes, tmp_path / "no_bank", small_config(size=64), scheduler="sync")
    _fail(FormatError, "no lighting bank", tmp_path / "no_bank", *usual)
    shutil.copytree(shards, tmp_path / "lost")
    (tmp_path / "lost" / "bank.h5").unlink()
    _fail(FormatError, r"lost/bank.h5: missing; copy .* there, or give one with --bank", tmp_path / "lost", *usual)
    _fail(ConfigError, "no baked pictures", tmp_path / "no_bank", *usual, "--set", "loader.source=baked")
    build_shards(takes, tmp_path / "empty", small_config(size=64, splits={"test": ["take0", "take1"]}), scheduler="sync")
    _fail(FormatError, "no take in split 'train', it has test; build-shards --split", tmp_path / "empty", *usual)
    write_sphere_take(tmp_path / "still.olat.h5", 1, stage=sphere_stage(64))
    build_shards([tmp_path / "still.olat.h5"], tmp_path / "single", small_config(size=64), scheduler="sync")
    _fail(ConfigError, "has no pair; its takes hold one imageset each", tmp_path / "single", *usual)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_shards_without_flow_are_refused_at_once(shards: Path, settings: Path, tmp_path: Path, split: str) -> None:
    shutil.copytree(shards, tmp_path / "set")
    entry = ShardSet(tmp_path / "set", split).index.shards_of("take0" if split == "train" else "take1")[0]
    with h5py.File(tmp_path / "set" / entry.file, "a") as file:
        del file["flow_fw"]
    _fail(
        FormatError, rf"{entry.file}: damaged shard: it has no flow_fw; delete it, then run build-shards",
        tmp_path / "set", "--config", settings, "-o", tmp_path / "run", "--device", "cpu",
    )
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_kept(shards: Path, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _run(shards, "--config", settings, "-o", run, "--device", "cpu", "--set", "steps=1")
    _fail(OutputExistsError, "--resume continues it, --overwrite starts anew", shards, "--config", settings, "-o", run)
    _fail(ConfigError, r"cannot resume with changed settings: steps \(1 -> 2\)", shards, "--config", settings, "-o", run,
          "--resume", "--device", "cpu")
    _run(shards, "--config", settings, "-o", run, "--device", "cpu", "--overwrite")
    assert find_checkpoints(run)[-1].name == "step-0000002.pt"


@pytest.mark.slow
def test_a_reading_process_that_is_killed_is_told(shards: Path, settings: Path, tmp_path: Path) -> None:
    """In a process of its own: torch's signal handler would raise in the tests that follow."""
    words = [sys.executable, "-m", "olatkit", "train", str(shards), "--config", str(settings), "-o", str(tmp_path / "run"),
             "--device", "cpu", "--workers", "2", "--set", "steps=100000"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not find_checkpoints(tmp_path / "run") and time.monotonic() < until:
            time.sleep(0.1)
        readers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(readers[-1]), signal.SIGKILL)
        said = process.communicate(timeout=120)[1].splitlines()
    finally:
        process.kill()
    assert process.returncode == 1
    assert re.match(r"olatkit: a process that reads samples died .*try --resume with fewer --workers than 2", said[-1])
    assert not [line for line in said if "Traceback" in line]


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_shards_or_another_bank(shards: Path, settings: Path, tmp_path: Path) -> None:
    again = ("--config", settings, "-o", tmp_path / "run", "--device", "cpu", "--resume")
    _run(shards, *again)
    takes = [shards.parent / f"take{n}.olat.h5" for n in range(2)]
    rebuilt = {"bank": shards / "bank.h5", "scheduler": "sync"}
    build_shards(takes, tmp_path / "same", small_config(size=64, bake=1, splits={"test": ["take1"]}), **rebuilt)
    _run(tmp_path / "same", *again)  # another place, the same bytes
    build_shards(takes, tmp_path / "other", small_config(size=64, bake=1, splits={"test": ["take0"]}), **rebuilt)
    _fail(ConfigError, r"cannot resume with other data: index.json \(SHA-256 \w{8} -> \w{8}\);", tmp_path / "other", *again)
    bank = write_small_bank(tmp_path / "maps.h5", 5)
    _fail(ConfigError, r"other data: bank \(SHA-256 \w{8} -> \w{8}\); .*--accept-changes", shards, *again, "--bank", bank)
    _run(shards, *again, "--bank", bank, "--accept-changes")


def test_damaged_and_foreign_checkpoints_are_refused(shards: Path, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    _run(shards, "--config", settings, "-o", run, "--device", "cpu", "--set", "steps=1")
    path = find_checkpoints(run)[0]
    whole = path.read_bytes()
    again = ("--config", settings, "-o", run, "--device", "cpu", "--resume")
    path.write_bytes(whole[: len(whole) // 2])
    _fail(FormatError, "not a whole checkpoint of olatkit", shards, *again)
    path.write_bytes(b"hello")
    _fail(FormatError, "not a whole checkpoint of olatkit", shards, *again)
    path.write_bytes(whole)
    data = torch.load(path, weights_only=True)
    torch.save({**data, "schema": 99}, path)
    _fail(FormatError, "a checkpoint of schema 99, expected 1", shards, *again)
    torch.save({**data, "variant": "lite"}, path)
    _fail(ConfigError, "a checkpoint of variant 'lite', but the settings say 'tiny'", shards, *again)
    with pytest.raises(FormatError, match="its weights are not those of variant 'lite'"):
        load_network(path)
    torch.save({**data, "variant": "huge"}, path)
    with pytest.raises(FormatError, match="a checkpoint of variant 'huge', expected base, small, lite, tiny"):
        load_network(path)
    for key in ("average", "config", "step"):
        torch.save({name: value for name, value in data.items() if name != key}, path)
        _fail(FormatError, f"not a whole checkpoint of olatkit, it has no '{key}'", shards, *again)
        with pytest.raises(FormatError, match=f"it has no '{key}'"):
            load_network(path)
    with pytest.raises(FormatError, match=r"holds no checkpoint \(step-\*.pt\)"):
        load_network(tmp_path)
    with pytest.raises(FormatError, match="no such checkpoint"):
        load_network(tmp_path / "step-1.pt")
    with pytest.raises(FormatError, match=r"step-0000001.json: describes a checkpoint; give step-0000001.pt"):
        load_network(path.with_suffix(".json"))


def test_processes_share_the_samples_and_validation_stays_apart(shards: Path) -> None:
    config = TrainConfig.model_validate({**SETTINGS, "loader": {"workers": 0, "balance_subjects": False}})
    stage = plan_stages(config)[0]
    seen = []
    for rank in (0, 1):
        open_batches, open_validation = open_shards(shards, config, Ranks(rank, 2, torch.device("cpu")))
        batches = open_batches(stage, 0)
        seen += [next(batches).pair.item()]
    assert sorted(seen) == [0, 1]  # one epoch of the training split: two pairs
    assert open_validation is not None
    held_out = open_validation(stage)
    assert [batch.pair.numel() for batch in held_out] == [1, 1]
    again = open_validation(stage)
    assert all(torch.equal(a.target_srgb, b.target_srgb) for a, b in zip(held_out, again, strict=True))


def test_without_a_held_out_split_there_is_no_validation(shards: Path, tmp_path: Path) -> None:
    takes = [shards.parent / "take0.olat.h5"]
    build_shards(takes, tmp_path / "set", small_config(size=64), scheduler="sync", bank=shards / "bank.h5")
    config = TrainConfig.model_validate(SETTINGS)
    assert open_shards(tmp_path / "set", config, Ranks(0, 1, torch.device("cpu")))[1] is None
    assert open_shards(shards, config.model_copy(update={
        "report": config.report.model_copy(update={"validation_pairs": 0})}), Ranks(0, 1, torch.device("cpu")))[1] is None


@pytest.mark.parametrize("name", ["laptop", "one_gpu", "paper"])
def test_presets_are_settings(name: str) -> None:
    from olatkit.cli.settings import read_config

    config = read_config(TrainConfig, PRESETS / f"{name}.yaml", ())
    assert plan_stages(config)[-1].stop == config.steps
    if name == "paper":
        # What the paper states, and this project's reading of what it leaves open, are the defaults.
        assert config == TrainConfig()
        assert config.optimizer.learning_rate == 5e-5
        assert config.critic.clip == 0.01
        assert set(config.losses.weights.model_dump().values()) == {1.0}


def test_presets_keep_a_copy_of_nothing(shards: Path, tmp_path: Path) -> None:
    """A run folder can be moved: nothing in it names where it lay."""
    shutil.copy(PRESETS / "laptop.yaml", tmp_path / "x.yaml")
    run = tmp_path / "run"
    _run(shards, "--config", tmp_path / "x.yaml", "-o", run, "--device", "cpu", "--workers", "0", "--set", "steps=1",
         "--set", "report.tensorboard=false", "--set", "stages=[{size: 64, batch: 1, share: 1}]", "--set",
         "critic.widths=[8,8,8,8]")
    text = (run / "train.yaml").read_text() + next(run.glob("*.json")).read_text() + (run / "metrics.csv").read_text()
    assert str(tmp_path) not in text
