"""A training that was stopped goes on bit for bit, and not with anything else unasked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_runs import ALONE, read_rows, same, two_stages
from painted_samples import painted_batches, tiny_config

from olatkit.errors import ConfigError, OutputExistsError
from olatkit.learn.checkpoint import find_checkpoints, load_network, read_checkpoint
from olatkit.learn.config import LossConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.state import make_state
from olatkit.learn.train import train


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("stop", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_bit_for_bit(run: Path, tmp_path: Path, stop: int) -> None:
    def kill(step: int, _steps: int, _news: object) -> None:
        if step == stop:
            raise _KilledError

    config = two_stages().model_copy(update={"report": tiny_config(report={
        "metrics_every": 1, "checkpoint_every": 1, "tensorboard": False}).report})
    with pytest.raises(_KilledError):
        train(config, painted_batches, tmp_path, ALONE, progress=kill)
    assert find_checkpoints(tmp_path)[-1].name == f"step-{stop:07d}.pt"
    torch.manual_seed(12345)  # whatever happened in between
    train(two_stages(), painted_batches, tmp_path, ALONE, resume=True)
    expected, found = read_checkpoint(run), read_checkpoint(tmp_path)
    for key in ("network", "average", "critic", "optimizer", "critic_optimizer", "memory", "step", "pairs", "rng"):
        same(expected[key], found[key], key)
    assert [row["step"] for row in read_rows(tmp_path)] == ["1", "2", "3", "4"]
    for a, b in zip(read_rows(run), read_rows(tmp_path), strict=True):
        assert a["total"] == b["total"]


def test_rows_after_the_checkpoint_are_repeated_and_not_doubled(tmp_path: Path) -> None:
    def kill(step: int, _steps: int, _news: object) -> None:
        if step == 3:  # one step after the checkpoint
            raise _KilledError

    with pytest.raises(_KilledError):
        train(tiny_config(), painted_batches, tmp_path, ALONE, progress=kill)
    train(tiny_config(), painted_batches, tmp_path, ALONE, resume=True)
    assert [row["step"] for row in read_rows(tmp_path)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("variant", ["tiny", pytest.param("lite", marks=pytest.mark.slow)])
def test_what_is_loaded_computes_what_was_saved(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    monkeypatch.setattr("olatkit.learn.train.make_state", lambda *given: kept.append(make_state(*given)) or kept[-1])
    train(tiny_config(variant=variant, steps=2), painted_batches, tmp_path, ALONE)
    image, light = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 16, 16)
    for averaged, trained in ((True, kept[0].average), (False, kept[0].network.eval())):
        loaded = load_network(tmp_path, averaged=averaged)
        assert not loaded.training
        with torch.no_grad():
            for mine, saved in zip(loaded(image, light), trained(image, light), strict=True):
                assert torch.equal(mine, saved)


def test_a_finished_run_is_not_replaced_unasked(run: Path) -> None:
    before = (run / "metrics.csv").read_bytes()
    with pytest.raises(OutputExistsError, match="holds a training up to step-0000004; --resume continues it"):
        train(two_stages(), painted_batches, run, ALONE)
    assert (run / "metrics.csv").read_bytes() == before


def test_starting_anew_removes_the_old_run_and_nothing_else(tmp_path: Path) -> None:
    train(tiny_config(steps=2), painted_batches, tmp_path, ALONE)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "pictures" / "step-last.png").write_text("mine")
    (tmp_path / "failed-step-0000002-process-0.pt").write_text("the batch of an old failure")
    train(tiny_config(steps=1), painted_batches, tmp_path, ALONE, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["step-0000001.png", "step-last.png"]
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-0000001.pt"]
    assert not list(tmp_path.glob("failed-*"))
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert [row["step"] for row in read_rows(tmp_path)] == ["1"]


def test_resuming_with_other_settings_names_them(run: Path) -> None:
    changed = two_stages().model_copy(update={"seed": 5, "losses": LossConfig(temporal=False)})
    with pytest.raises(ConfigError, match=r"losses.temporal \(True -> False\).*seed \(0 -> 5\)"):
        train(changed, painted_batches, run, ALONE, resume=True)
    stages = tiny_config(stages=[{"size": 64, "batch": 2, "share": 0.5}, {"size": 64, "batch": 3, "share": 0.5}]).stages
    with pytest.raises(ConfigError, match=r"changed settings: stages\[1\].batch \(1 -> 3\); restore .*--accept-changes"):
        train(two_stages().model_copy(update={"stages": stages}), painted_batches, run, ALONE, resume=True)
    with pytest.raises(ConfigError, match=r"processes \(1 -> 2\)"):
        train(two_stages(), painted_batches, run, Ranks(0, 2, torch.device("cpu")), resume=True)
    with pytest.raises(ConfigError, match="a checkpoint of variant 'tiny', but the settings say 'lite'"):
        train(two_stages().model_copy(update={"variant": "lite"}), painted_batches, run, ALONE, resume=True)


def test_a_run_is_not_made_shorter_than_it_is(run: Path) -> None:
    before = (run / "train.yaml").read_bytes()
    shorter = two_stages().model_copy(update={"steps": 3})
    with pytest.raises(ConfigError, match=r"steps is 3, but this run has 4 behind it; give more"):
        train(shorter, painted_batches, run, ALONE, resume=True, accept_changes=True)
    assert (run / "train.yaml").read_bytes() == before


def test_resuming_on_other_data_names_old_and_new(tmp_path: Path) -> None:
    before = {"index.json": "a" * 64, "bank": "b" * 64}
    train(tiny_config(), painted_batches, tmp_path, ALONE, data=before)
    assert json.loads((tmp_path / "step-0000004.json").read_text())["data_sha256"] == before
    train(tiny_config(), painted_batches, tmp_path, ALONE, data=before, resume=True)
    with pytest.raises(ConfigError, match=r"step-0000004.pt: cannot resume with other data: bank \(SHA-256 bbbbbbbb -> "
                                          r"cccccccc\); .*--accept-changes"):
        train(tiny_config(), painted_batches, tmp_path, ALONE, data={**before, "bank": "c" * 64}, resume=True)


def test_changes_that_are_accepted_go_on_and_are_written_down(tmp_path: Path) -> None:
    train(tiny_config(steps=2), painted_batches, tmp_path, ALONE, data={"bank": "b" * 64})
    half = read_checkpoint(tmp_path)["optimizer"]["state"][0]["square_avg"]
    slower = {"learning_rate": 1e-6, "smoothing": 1 - 1e-9}
    critic = {"widths": [8, 8, 8, 8], "steps": 1, "memory": 1}
    stages = [{"size": 64, "batch": 2, "share": 1}]
    config = tiny_config(steps=3, optimizer=slower, stages=stages, critic=critic)
    train(config, painted_batches, tmp_path, ALONE, data={"bank": "c" * 64}, resume=True, accept_changes=True)
    after = read_checkpoint(tmp_path)
    assert after["step"] == 3
    assert [group["lr"] for group in after["critic_optimizer"]["param_groups"]] == [1e-6]
    # The history went on from where it was: with this smoothing it hardly moves.
    np.testing.assert_allclose(after["optimizer"]["state"][0]["square_avg"], half, rtol=1e-3)
    assert after["data_sha256"] == {"bank": "c" * 64}
    change, = json.loads((tmp_path / "step-0000003.json").read_text())["changes"]
    assert change.startswith("step 2: changed settings: critic.memory (2 -> 1), ")
    assert change.endswith("and other data: bank (SHA-256 bbbbbbbb -> cccccccc)")
    # What was accepted once is what the run is from then on.
    train(config, painted_batches, tmp_path, ALONE, data={"bank": "c" * 64}, resume=True)


@pytest.mark.parametrize("change", [{"losses": {"warm_up": 0, "parsing": False}}, {"critic": {"widths": [4, 8, 8, 8]}}])
def test_changes_of_form_cannot_be_accepted(change: dict[str, object], run: Path) -> None:
    config = tiny_config(**two_stages().model_dump() | change)
    with pytest.raises(ConfigError, match=r"cannot resume: with changed settings: .*, the network or critic has another "
                                          "form; start a new run"):
        train(config, painted_batches, run, ALONE, resume=True, accept_changes=True)


def test_settings_that_do_not_touch_the_result_may_change(run: Path) -> None:
    report = tiny_config(report={"metrics_every": 7, "keep": 5, "tensorboard": False}).report
    train(two_stages().model_copy(update={"report": report}), painted_batches, run, ALONE, resume=True)


def test_resuming_where_nothing_is_starts(tmp_path: Path) -> None:
    train(tiny_config(steps=1), painted_batches, tmp_path, ALONE, resume=True)
    assert len(read_rows(tmp_path)) == 1
