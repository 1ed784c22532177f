"""The training loop: it learns, it is deterministic, every loss can be switched off."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_runs import ALONE, held_out, read_rows, same, two_stages
from painted_samples import in_double, painted_batch, painted_batches, painted_sample, tiny_config

from olatkit.io.images import read_picture
from olatkit.learn.checkpoint import load_network, read_checkpoint
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample, join_batches, stack_samples
from olatkit.learn.schedule import Stage, learning_rate, loss_weights, plan_stages, stage_at
from olatkit.learn.state import make_state
from olatkit.learn.train import train, train_network


def test_a_run_leaves_everything_behind(run: Path) -> None:
    rows = read_rows(run)
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    assert [int(row["size"]) for row in rows] == [64] * 4
    assert [int(row["pairs"]) for row in rows] == [4, 8, 10, 12]
    for name in ("total", "basic", "latent", "parsing", "temporal", "temporal_floor", "adversarial", "psnr", "gradient"):
        assert all(np.isfinite(float(row[name])) for row in rows), name
    assert all(0 <= float(row["waiting"]) < 1 for row in rows)
    # The critic needs a past batch, and forgets them when another stage begins.
    assert [row["critic"] != "" for row in rows] == [False, True, False, True]
    assert float(rows[-1]["val_psnr"]) > 0
    assert float(rows[-1]["val_copy_psnr"]) > 0
    sheet = read_picture(run / "pictures" / "step-0000004.png")
    assert 2 < sheet.mean() < 253
    assert TrainConfig.model_validate(__import__("yaml").safe_load((run / "train.yaml").read_text())) == two_stages()
    facts = json.loads((run / "step-0000004.json").read_text())
    assert facts["variant"] == "tiny"
    assert facts["step"] == 4
    assert not list(run.glob("*.part"))


@pytest.mark.slow
def test_resolution_grows(tmp_path: Path) -> None:
    stages = [{"size": 64, "batch": 2, "share": 0.5}, {"size": 128, "batch": 1, "share": 0.5}]
    config = tiny_config(stages=stages, critic={"widths": [8] * 5, "steps": 2, "memory": 3})
    train(config, painted_batches, tmp_path, ALONE, open_validation=held_out)
    rows = read_rows(tmp_path)
    assert [int(row["size"]) for row in rows] == [64, 64, 128, 128]
    assert all(float(row["adversarial"]) for row in rows)  # without the last convolution, and with it


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(run: Path, tmp_path: Path) -> None:
    train(two_stages(), painted_batches, tmp_path / "again", ALONE)
    same(read_checkpoint(run), read_checkpoint(tmp_path / "again"))
    other = train(two_stages().model_copy(update={"seed": 1, "steps": 2}), painted_batches, tmp_path / "b", ALONE)
    first, second = (read_checkpoint(p)["network"]["encoder.E0.conv.conv.weight"] for p in (run, other))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("adversarial", [pytest.param(False, marks=pytest.mark.slow), True])
def test_accumulated_batches_equal_one_large_batch(adversarial: bool) -> None:
    # In double precision: normalised features of a fresh network are so alike that float32 leaves three digits.
    config = tiny_config()
    weights = {"basic": 1.0, "latent": 1.0, "parsing": 1.0, "temporal": 1.0} | ({"adversarial": 0.5} if adversarial else {})
    parts = [in_double(painted_batch(1, 64, seed)) for seed in (0, 1)]
    gradients, totals = [], []
    for samples in (parts, [join_batches(parts)]):
        state = make_state(config, ALONE.device)
        state.network.double()
        assert state.critic is not None
        state.critic.double()
        # Batch normalisation looks at the whole batch: without it parts and whole agree.
        for level in state.critic.levels:
            level.norm = torch.nn.Identity()
        _, values = train_network(state, PairPasses(state.network, config.losses), samples, weights, config, ALONE)
        gradients.append([p.grad for p in state.network.parameters()])
        totals.append(values["total"])
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-10)
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10 * max(b.abs().max().item(), 1))


@pytest.mark.parametrize(
    ("losses", "terms"),
    [
        pytest.param({}, {"basic", "latent", "parsing", "temporal", "adversarial"}, marks=pytest.mark.slow),
        ({"structure": False}, {"basic", "parsing", "temporal", "adversarial"}),
        ({"temporal": False}, {"basic", "latent", "parsing", "adversarial"}),
        pytest.param({"parsing": False}, {"basic", "latent", "temporal", "adversarial"}, marks=pytest.mark.slow),
        ({"parsing": False, "adversarial": False}, {"basic", "latent", "temporal"}),
        ({"weights": {"temporal": 0}}, {"basic", "latent", "parsing", "adversarial"}),
    ],
)
def test_every_ablation_trains_without_its_loss(losses: dict[str, object], terms: set[str], tmp_path: Path) -> None:
    config = tiny_config(steps=1, losses={"warm_up": 0, **losses})
    last = train(config, painted_batches, tmp_path, ALONE)
    row = read_rows(tmp_path)[-1]
    names = ("basic", "latent", "parsing", "temporal", "adversarial")
    assert {name for name in names if row[name]} == terms
    assert any("heads.parsing" in name for name in read_checkpoint(last)["network"]) == ("parsing" in terms)
    assert load_network(last).parsing_channels == (1 if "parsing" in terms else 0)


def test_stages_share_out_all_steps_and_losses_come_in_turn() -> None:
    config = TrainConfig(steps=1000)
    stages = plan_stages(config)
    assert [(s.size, s.first, s.stop) for s in stages] == [(128, 0, 200), (256, 200, 600), (512, 600, 1000)]
    at = {step: loss_weights(config, stages, (512, 256), step) for step in (0, 49, 50, 199, 200, 224, 249, 999)}
    assert set(at[0]) == set(at[49]) == {"basic", "parsing"}
    assert set(at[50]) == set(at[199]) == {"basic", "parsing", "latent", "temporal"}
    assert [at[step]["adversarial"] for step in (200, 224, 249, 999)] == pytest.approx([1 / 50, 0.5, 1, 1])


def test_half_precision_trains(tmp_path: Path) -> None:
    train(tiny_config(precision="bf16", steps=2), painted_batches, tmp_path, ALONE)
    assert all(np.isfinite(float(row["total"])) for row in read_rows(tmp_path))
    assert read_checkpoint(tmp_path)["network"]["encoder.E0.conv.conv.weight"].dtype == torch.float32


def test_tensorboard_gets_scalars_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tiny_config(steps=2, report={"metrics_every": 1}), painted_batches, tmp_path, ALONE)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"total", "basic", "temporal", "psnr"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("total")] == [1, 2]
    assert events.Tags()["images"] == ["samples"]
    train(tiny_config(steps=1, report={"metrics_every": 1}), painted_batches, tmp_path, ALONE, overwrite=True)
    events.Reload()  # what starts anew does not show the old run's curves
    assert [event.step for event in events.Scalars("total")] == [1]


def test_an_empty_mask_trains(tmp_path: Path) -> None:
    def empty(stage: Stage, pairs: int) -> Iterator[Sample]:
        for sample in painted_batches(stage, pairs):
            yield replace(sample, mask=torch.zeros_like(sample.mask), labels=torch.zeros_like(sample.labels))

    train(tiny_config(steps=2), empty, tmp_path, ALONE)
    assert all(np.isfinite(float(row["total"])) for row in read_rows(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "rate", "steps", "decibels"),
    [("tiny", 5e-4, 300, 28), ("lite", 5e-4, 300, 24), ("small", 5e-5, 200, 28), ("base", 5e-5, 200, 26)],
)
def test_each_variant_overfits_one_batch(
    variant: str, rate: float, steps: int, decibels: float, tmp_path: Path
) -> None:
    config = tiny_config(
        variant=variant, parsing_channels=1, steps=steps, optimizer={"learning_rate": rate, "ramp": 20},
        losses={"structure": False, "temporal": False, "adversarial": False},
        report={"metrics_every": steps, "validate_every": steps, "checkpoint_every": steps, "tensorboard": False},
    )
    train(config, lambda stage, pairs: itertools.repeat(painted_batch(1, 64)), tmp_path, ALONE)
    reached = float(read_rows(tmp_path)[-1]["psnr"])
    print(f"{variant}: {reached:.1f} dB after {steps} steps")  # docs/training.md
    assert reached > decibels


def test_every_stage_begins_with_small_steps() -> None:
    config = TrainConfig(steps=1000)
    rates = [learning_rate(config, stage_at(plan_stages(config), step), step) for step in (0, 49, 99, 150, 199, 200, 300)]
    assert rates == pytest.approx([5e-7, 2.5e-5, 5e-5, 5e-5, 5e-5, 5e-7, 5e-5])


def test_a_code_that_is_the_same_for_all_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def all_alike(stage: Stage, pairs: int) -> Iterator[Sample]:
        return itertools.repeat(stack_samples([painted_sample(64, 1)] * 2))

    train(tiny_config(), all_alike, tmp_path, ALONE)
    told = [record.message for record in caplog.records if "structure code" in record.message]
    assert len(told) == 1
    assert "a smaller losses.weights.latent" in told[0]


def test_without_eq_5_nobody_is_told_of_the_code(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def all_alike(stage: Stage, pairs: int) -> Iterator[Sample]:
        return itertools.repeat(stack_samples([painted_sample(64, 1)] * 2))

    train(tiny_config(losses={"structure": False}), all_alike, tmp_path, ALONE)
    assert not [record for record in caplog.records if "structure code" in record.message]


@pytest.mark.slow
def test_a_compiled_network_trains_alike(tmp_path: Path) -> None:
    plain = train(tiny_config(steps=2), painted_batches, tmp_path / "plain", ALONE)
    compiled = train(tiny_config(steps=2, compile=True), painted_batches, tmp_path / "compiled", ALONE)
    assert read_checkpoint(plain)["network"].keys() == read_checkpoint(compiled)["network"].keys()
    for a, b in zip(read_rows(tmp_path / "plain"), read_rows(tmp_path / "compiled"), strict=True):
        assert float(a["total"]) == pytest.approx(float(b["total"]), rel=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_trains(precision: str, tmp_path: Path, cuda: str) -> None:
    def on_gpu(stage: Stage, pairs: int) -> Iterator[Sample]:
        return (sample.to(cuda) for sample in painted_batches(stage, pairs))

    config = two_stages().model_copy(update={"precision": precision})
    train(config, on_gpu, tmp_path, Ranks(0, 1, torch.device(cuda, 0)))
    train(config, on_gpu, tmp_path, Ranks(0, 1, torch.device(cuda, 0)), resume=True)
    assert all(np.isfinite(float(row["total"])) for row in read_rows(tmp_path))


def test_batches_run_out_never(run: Path) -> None:
    stage = Stage(0, 64, 2, 0, 3)
    batches = list(itertools.islice(painted_batches(stage, 2), 2))
    assert [batch.pair.tolist() for batch in batches] == [[2, 3], [4, 5]]
