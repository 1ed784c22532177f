"""A training stops with a word when it must, and does not begin what cannot be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_runs import ALONE
from painted_samples import painted_batches, tiny_config

from olatkit.errors import ConfigError, TrainingError
from olatkit.learn.checkpoint import find_checkpoints
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import join_ranks
from olatkit.learn.failures import explain_out_of_memory
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage, plan_stages
from olatkit.learn.train import train


def test_a_batch_that_is_not_finite_stops_the_run_and_is_saved(tmp_path: Path) -> None:
    def poisoned(stage: Stage, pairs: int) -> Iterator[Sample]:
        for n, sample in enumerate(painted_batches(stage, pairs)):
            bad = torch.where(sample.target_srgb > 2, sample.target_srgb, torch.nan) if n == 2 else sample.target_srgb
            yield replace(sample, target_srgb=bad)

    with pytest.raises(TrainingError, match=r"step 2: not finite: basic nan.*total nan.*saved in .*--accept-changes$"):
        train(tiny_config(), poisoned, tmp_path, ALONE)
    saved = torch.load(next(tmp_path.glob("failed-step-0000002-process-0.pt")), weights_only=True)
    assert saved["step"] == 2
    assert torch.isnan(saved["batches"][0]["target_srgb"]).any()
    assert all(torch.isfinite(w).all() for w in saved["network"].values())
    # The last good checkpoint is there to go on from.
    assert find_checkpoints(tmp_path)[-1].name == "step-0000002.pt"


def test_out_of_memory_says_what_to_try() -> None:
    config = TrainConfig()
    stage = plan_stages(config)[2]

    def cuda() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def convolution() -> None:  # what the kernels of the CPU say of it
        raise RuntimeError("could not create a primitive")

    for allocate in (cuda, convolution, lambda: torch.empty(2**55), lambda: np.empty(2**55)):
        with (
            pytest.raises(TrainingError, match=(
                r"4 pair\(s\) of 512 px with variant 'base' do not fit .* this machine; try "
                r"stages\[2\].batch 2 with accumulate 2, which counts in all stages, or precision bf16, or .*variant small; "
                "a run that has a checkpoint goes on with --resume --accept-changes$"
            )),
            explain_out_of_memory(config, stage, torch.device("cpu")),
        ):
            allocate()
    with pytest.raises(RuntimeError, match="something else"), explain_out_of_memory(config, stage, torch.device("cpu")):
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    "words",
    ["DataLoader worker (pid 7) is killed by signal: Killed. ", "DataLoader worker (pid(s) 7) exited unexpectedly",
     "unable to allocate shared memory(shm) for file </torch_7>: No space left on device (28)"],
)
def test_a_reading_process_that_dies_is_told(words: str) -> None:
    config = TrainConfig()
    with (
        pytest.raises(TrainingError, match=r"a process that reads samples died \(.*7.*fewer --workers than 2$"),
        explain_out_of_memory(config, plan_stages(config)[0], torch.device("cpu")),
    ):
        raise RuntimeError(words)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": [{"size": 64, "batch": 1, "share": 0.5}]}, "sum to 0.5"),
        ({"stages": [{"size": 100, "batch": 1, "share": 1}]}, "multiple of 64"),
        ({"stages": [{"size": 128, "batch": 1, "share": 0.5}, {"size": 64, "batch": 1, "share": 0.5}]}, "not to fall"),
        ({"variant": "huge"}, "'base', 'small', 'lite' or 'tiny'"),
        ({"losses": {"parsing": False, "weights": {"basic": 0}}}, "no loss counts before Eq. 5 and 8"),
        ({"losses": {"parsing": False, "structure": False, "temporal": False, "weights": {"basic": 0}}},
         "no loss counts at all"),
        ({"loader": {"source": "baked"}, "sampling": {"mixing": False}}, "sampling.mixing says nothing to baked pairs"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig.model_validate(settings)


def test_memory_that_does_not_suffice_for_the_network_itself_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("olatkit.learn.train.make_state", full)
    with pytest.raises(TrainingError, match=r"1 pair\(s\) of 64 px with variant 'tiny' do not fit"):
        train(tiny_config(), painted_batches, tmp_path / "run", ALONE)
    assert not (tmp_path / "run").exists()


def test_a_critic_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"critic\.widths has 5 convolutions, for pictures of 128 or 64 px, .* 192 px"):
        train(tiny_config(stages=[{"size": 192, "batch": 1, "share": 1}], critic={"widths": [8] * 5}),
              painted_batches, tmp_path, ALONE)
    with pytest.raises(ConfigError, match=r"no critic for pictures of 192 px.*switch it off with losses.adversarial"):
        train(tiny_config(stages=[{"size": 192, "batch": 1, "share": 1}], critic={}), painted_batches, tmp_path, ALONE)


def test_a_stage_without_a_step_is_refused() -> None:
    stages = [{"size": 64, "batch": 1, "share": 0.1}, {"size": 128, "batch": 1, "share": 0.9}]
    with pytest.raises(ConfigError, match="stage 0 has no step of 2"):
        plan_stages(tiny_config(steps=2, stages=stages))


@pytest.mark.parametrize(("device", "message"), [("toaster", "is unknown"), ("mps", "not supported")])
def test_devices_that_are_not_there_are_refused(device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message), join_ranks(device):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="sees no GPU; use --device cpu"), join_ranks("cuda"):
        pass
