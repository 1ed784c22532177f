"""The training loop: it learns, it is deterministic, it resumes bit for bit, it stops with a word when it must."""

import csv
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from painted_samples import in_double, painted_batch, painted_batches, painted_sample, tiny_config

from olatkit.errors import ConfigError, OutputExistsError, TrainingError
from olatkit.io.images import read_picture
from olatkit.learn.checkpoint import find_checkpoints, load_network, read_checkpoint
from olatkit.learn.config import LossConfig, TrainConfig
from olatkit.learn.distributed import Ranks, join_ranks
from olatkit.learn.failures import explain_out_of_memory
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample, join_batches, stack_samples
from olatkit.learn.schedule import Stage, learning_rate, loss_weights, plan_stages, stage_at
from olatkit.learn.state import make_state
from olatkit.learn.train import train, train_network

ALONE = Ranks(0, 1, torch.device("cpu"))


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def _same(a: object, b: object, path: str = "") -> None:
    """Equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path  # type: ignore[arg-type]
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path  # type: ignore[attr-defined]
        for key in a:
            _same(a[key], b[key], f"{path}.{key}")  # type: ignore[index]
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path  # type: ignore[arg-type]
        for n, (x, y) in enumerate(zip(a, b, strict=True)):  # type: ignore[arg-type]
            _same(x, y, f"{path}[{n}]")
    elif path != ".path":
        assert a == b, path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training in two stages with everything on, gradient accumulation and validation included."""
    folder = tmp_path_factory.mktemp("run")
    train(_two_stages(), painted_batches, folder, ALONE, open_validation=_held_out)
    return folder


def _two_stages() -> TrainConfig:
    stages = [{"size": 64, "batch": 2, "share": 0.5}, {"size": 64, "batch": 1, "share": 0.5}]
    return tiny_config(stages=stages, accumulate=2)


def _held_out(stage: Stage) -> list[Sample]:
    return [painted_batch(1, stage.size, seed=99)]


def test_a_run_leaves_everything_behind(run: Path) -> None:
    rows = _rows(run)
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
    assert TrainConfig.model_validate(__import__("yaml").safe_load((run / "train.yaml").read_text())) == _two_stages()
    facts = json.loads((run / "step-0000004.json").read_text())
    assert facts["variant"] == "tiny"
    assert facts["step"] == 4
    assert not list(run.glob("*.part"))


@pytest.mark.slow
def test_resolution_grows(tmp_path: Path) -> None:
    stages = [{"size": 64, "batch": 2, "share": 0.5}, {"size": 128, "batch": 1, "share": 0.5}]
    config = tiny_config(stages=stages, critic={"widths": [8] * 5, "steps": 2, "memory": 3})
    train(config, painted_batches, tmp_path, ALONE, open_validation=_held_out)
    rows = _rows(tmp_path)
    assert [int(row["size"]) for row in rows] == [64, 64, 128, 128]
    assert all(float(row["adversarial"]) for row in rows)  # without the last convolution, and with it


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(run: Path, tmp_path: Path) -> None:
    train(_two_stages(), painted_batches, tmp_path / "again", ALONE)
    _same(read_checkpoint(run), read_checkpoint(tmp_path / "again"))
    other = train(_two_stages().model_copy(update={"seed": 1, "steps": 2}), painted_batches, tmp_path / "b", ALONE)
    first, second = (read_checkpoint(p)["network"]["encoder.E0.conv.conv.weight"] for p in (run, other))
    assert not torch.equal(first, second)


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2])
def test_a_killed_run_resumes_bit_for_bit(run: Path, tmp_path: Path, stop: int) -> None:
    def kill(step: int, _steps: int, _news: object) -> None:
        if step == stop:
            raise _KilledError

    config = _two_stages().model_copy(update={"report": tiny_config(report={
        "metrics_every": 1, "checkpoint_every": 1, "tensorboard": False}).report})
    with pytest.raises(_KilledError):
        train(config, painted_batches, tmp_path, ALONE, progress=kill)
    assert find_checkpoints(tmp_path)[-1].name == f"step-{stop:07d}.pt"
    torch.manual_seed(12345)  # whatever happened in between
    train(_two_stages(), painted_batches, tmp_path, ALONE, resume=True)
    expected, found = read_checkpoint(run), read_checkpoint(tmp_path)
    for key in ("network", "average", "critic", "optimizer", "critic_optimizer", "memory", "step", "pairs", "rng"):
        _same(expected[key], found[key], key)
    assert [row["step"] for row in _rows(tmp_path)] == ["1", "2", "3", "4"]
    for a, b in zip(_rows(run), _rows(tmp_path), strict=True):
        assert a["total"] == b["total"]


def test_rows_after_the_checkpoint_are_repeated_and_not_doubled(tmp_path: Path) -> None:
    def kill(step: int, _steps: int, _news: object) -> None:
        if step == 3:  # one step after the checkpoint
            raise _KilledError

    with pytest.raises(_KilledError):
        train(tiny_config(), painted_batches, tmp_path, ALONE, progress=kill)
    train(tiny_config(), painted_batches, tmp_path, ALONE, resume=True)
    assert [row["step"] for row in _rows(tmp_path)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("variant", ["tiny", "lite"])
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
        train(_two_stages(), painted_batches, run, ALONE)
    assert (run / "metrics.csv").read_bytes() == before


def test_starting_anew_removes_old_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    train(tiny_config(steps=2), painted_batches, tmp_path, ALONE)
    (tmp_path / "notes.txt").write_text("mine")
    train(tiny_config(steps=1), painted_batches, tmp_path, ALONE, overwrite=True)
    assert [path.name for path in find_checkpoints(tmp_path)] == ["step-0000001.pt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert [row["step"] for row in _rows(tmp_path)] == ["1"]


def test_resuming_with_other_settings_names_them(run: Path) -> None:
    changed = _two_stages().model_copy(update={"seed": 5, "losses": LossConfig(temporal=False)})
    with pytest.raises(ConfigError, match=r"losses.temporal \(True -> False\).*seed \(0 -> 5\)"):
        train(changed, painted_batches, run, ALONE, resume=True)
    stages = tiny_config(stages=[{"size": 64, "batch": 2, "share": 0.5}, {"size": 64, "batch": 3, "share": 0.5}]).stages
    with pytest.raises(ConfigError, match=r"changed settings: stages\[1\].batch \(1 -> 3\); restore .*--accept-changes"):
        train(_two_stages().model_copy(update={"stages": stages}), painted_batches, run, ALONE, resume=True)
    with pytest.raises(ConfigError, match=r"processes \(1 -> 2\)"):
        train(_two_stages(), painted_batches, run, Ranks(0, 2, torch.device("cpu")), resume=True)
    with pytest.raises(ConfigError, match="a checkpoint of variant 'tiny', but the settings say 'lite'"):
        train(_two_stages().model_copy(update={"variant": "lite"}), painted_batches, run, ALONE, resume=True)


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
    config = tiny_config(**_two_stages().model_dump() | change)
    with pytest.raises(ConfigError, match=r"cannot resume: with changed settings: .*, the network or critic has another "
                                          "form; start a new run"):
        train(config, painted_batches, run, ALONE, resume=True, accept_changes=True)


def test_settings_that_do_not_touch_the_result_may_change(run: Path) -> None:
    report = tiny_config(report={"metrics_every": 7, "keep": 5, "tensorboard": False}).report
    train(_two_stages().model_copy(update={"report": report}), painted_batches, run, ALONE, resume=True)


def test_resuming_where_nothing_is_starts(tmp_path: Path) -> None:
    train(tiny_config(steps=1), painted_batches, tmp_path, ALONE, resume=True)
    assert len(_rows(tmp_path)) == 1


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

    for allocate in (cuda, lambda: torch.empty(2**55), lambda: np.empty(2**55)):
        with (
            pytest.raises(TrainingError, match=(
                r"4 pair\(s\) of 512 px with variant 'base' do not fit .* this machine; try "
                r"stages\[2\].batch 2 with accumulate 2, or precision bf16, or .*variant small"
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


@pytest.mark.parametrize("adversarial", [False, True])
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
        ({}, {"basic", "latent", "parsing", "temporal", "adversarial"}),
        ({"structure": False}, {"basic", "parsing", "temporal", "adversarial"}),
        ({"temporal": False}, {"basic", "latent", "parsing", "adversarial"}),
        ({"parsing": False}, {"basic", "latent", "temporal", "adversarial"}),
        ({"parsing": False, "adversarial": False}, {"basic", "latent", "temporal"}),
        ({"weights": {"temporal": 0}}, {"basic", "latent", "parsing", "adversarial"}),
    ],
)
def test_every_ablation_trains_without_its_loss(losses: dict[str, object], terms: set[str], tmp_path: Path) -> None:
    config = tiny_config(steps=1, losses={"warm_up": 0, **losses})
    last = train(config, painted_batches, tmp_path, ALONE)
    row = _rows(tmp_path)[-1]
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
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig.model_validate(settings)


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


def test_half_precision_trains(tmp_path: Path) -> None:
    train(tiny_config(precision="bf16", steps=2), painted_batches, tmp_path, ALONE)
    assert all(np.isfinite(float(row["total"])) for row in _rows(tmp_path))
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


def test_an_empty_mask_trains(tmp_path: Path) -> None:
    def empty(stage: Stage, pairs: int) -> Iterator[Sample]:
        for sample in painted_batches(stage, pairs):
            yield replace(sample, mask=torch.zeros_like(sample.mask), labels=torch.zeros_like(sample.labels))

    train(tiny_config(steps=2), empty, tmp_path, ALONE)
    assert all(np.isfinite(float(row["total"])) for row in _rows(tmp_path))


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
    reached = float(_rows(tmp_path)[-1]["psnr"])
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
    for a, b in zip(_rows(tmp_path / "plain"), _rows(tmp_path / "compiled"), strict=True):
        assert float(a["total"]) == pytest.approx(float(b["total"]), rel=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_trains(precision: str, tmp_path: Path, cuda: str) -> None:
    def on_gpu(stage: Stage, pairs: int) -> Iterator[Sample]:
        return (sample.to(cuda) for sample in painted_batches(stage, pairs))

    config = _two_stages().model_copy(update={"precision": precision})
    train(config, on_gpu, tmp_path, Ranks(0, 1, torch.device(cuda, 0)))
    train(config, on_gpu, tmp_path, Ranks(0, 1, torch.device(cuda, 0)), resume=True)
    assert all(np.isfinite(float(row["total"])) for row in _rows(tmp_path))


def test_batches_run_out_never(run: Path) -> None:
    stage = Stage(0, 64, 2, 0, 3)
    batches = list(itertools.islice(painted_batches(stage, 2), 2))
    assert [batch.pair.tolist() for batch in batches] == [[2, 3], [4, 5]]
