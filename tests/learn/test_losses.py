"""Losses against literal transcriptions in NumPy, and where their gradients go."""

import numpy as np
import pytest
import torch
from painted_samples import SHIFT, painted_batch

from olatkit.geometry import row_solid_angles
from olatkit.learn import losses
from olatkit.learn.config import LossConfig, TrainConfig
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample
from olatkit.learn.state import TrainingState, make_state
from olatkit.learn.train import adversarial_gradients
from olatkit.learn.warp import in_frame, visible_in_both, warp, warp_to_other

TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}  # sums of some thousand float32 values
CONFIG = TrainConfig.model_validate({
    "variant": "tiny", "steps": 10, "stages": [{"size": 64, "batch": 2, "share": 1}], "critic": {"widths": [8, 8, 8, 8]},
})


def _rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _mean_l1(mask: np.ndarray, difference: np.ndarray) -> float:
    """⟨M|x⟩₁, one sample and pixel at a time."""
    total = 0.0
    for m, x in zip(mask, difference, strict=True):
        covered = max(m.sum(), 0.01 * m.size)
        total += sum(m[0, r, c] * np.abs(x[:, r, c]).sum() for r, c in np.ndindex(m.shape[1:])) / (3 * covered)
    return total / len(mask)


@pytest.mark.parametrize("covered", [1.0, 0.3, 0.001, 0.0])
def test_masked_l1(covered: float) -> None:
    mask, difference = (_rand(2, 1, 20, 30) < covered).float(), _rand(2, 3, 20, 30) - 0.5
    expected = _mean_l1(mask.numpy().astype(float), difference.numpy().astype(float))
    np.testing.assert_allclose(losses.masked_l1(mask, difference), expected, **TOLERANCE)


@pytest.mark.parametrize("norm", ["mean_square", "l2"])
def test_light_distance(norm: str) -> None:
    true, found = (10 * _rand(3, 3, 16, 16)).numpy().astype(float), _rand(3, 3, 16, 16).numpy().astype(float)
    expected = 0.0
    for a, b in zip(true, found, strict=True):
        square = 0.0
        for row, column, c in np.ndindex(16, 16, 3):
            d = np.log(1 + a[c, row, column]) - np.log(1 + b[c, row, column])
            square += row_solid_angles(16, 16)[row] * d**2 / (3 * 4 * np.pi)
        expected += (np.sqrt(square) if norm == "l2" else square) / 3
    light = [torch.tensor(x, dtype=torch.float32) for x in (true, found)]
    np.testing.assert_allclose(losses.light_distance(*light, norm), expected, **TOLERANCE)  # type: ignore[arg-type]


def test_equation_4() -> None:
    light, true_light = _rand(2, 3, 16, 16), 3 * _rand(2, 3, 16, 16)
    relit, target, own, source = (_rand(2, 3, 8, 8 + n)[..., :8] for n in range(4))
    mask = (_rand(2, 1, 8, 8) < 0.6).float()
    expected = (
        0.5 * losses.light_distance(true_light, light).item()
        + _mean_l1(mask.numpy(), (target - relit).numpy()) + _mean_l1(mask.numpy(), (source - own).numpy())
    )
    found = losses.basic_loss(light, true_light, relit, target, own, source, mask)
    np.testing.assert_allclose(found, expected, **TOLERANCE)


def test_equation_5() -> None:
    code, again = _rand(2, 6, 3, 4), _rand(2, 6, 3, 5)[..., :4]
    expected = sum((a - b) ** 2 for a, b in zip(code.flatten().tolist(), again.flatten().tolist(), strict=True)) / 144
    np.testing.assert_allclose(losses.latent_loss(code, again), expected, **TOLERANCE)


@pytest.mark.parametrize("classes", [1, 19])
def test_equation_6(classes: int) -> None:
    logits = 8 * _rand(2, classes, 5, 6) - 4
    labels = (19 * _rand(2, 5, 6)).to(torch.uint8)
    labels[0, 0, :3] = 0
    total = 0.0
    for n, k, r, c in np.ndindex(*logits.shape):
        truth = float(labels[n, r, c] != 0) if classes == 1 else float(labels[n, r, c] == k)
        found = 1 / (1 + np.exp(-logits[n, k, r, c].item()))
        total -= truth * np.log(found) + (1 - truth) * np.log(1 - found)
    np.testing.assert_allclose(losses.parsing_loss(logits, labels), total / logits.numel(), **TOLERANCE)


def test_equation_7() -> None:
    real, relit = _rand(4), _rand(5)[:4]
    np.testing.assert_allclose(losses.critic_loss(real, relit), -real.mean() + relit.mean(), **TOLERANCE)
    np.testing.assert_allclose(losses.adversarial_loss(relit), -relit.numpy().mean(), **TOLERANCE)


def _sampled(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear sample of (C, H, W), the border repeated."""
    height, width = image.shape[1:]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    fx, fy = x - left, y - top
    return ((1 - fy) * ((1 - fx) * image[:, top, left] + fx * image[:, top, left + 1])
            + fy * ((1 - fx) * image[:, top + 1, left] + fx * image[:, top + 1, left + 1]))


def _warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    out = np.empty_like(image)
    for r, c in np.ndindex(image.shape[1:]):
        out[:, r, c] = _sampled(image, c + flow[0, r, c], r + flow[1, r, c])
    return out


def test_warp_against_a_loop() -> None:
    image, flow = _rand(2, 3, 9, 7), 6 * _rand(2, 2, 9, 7) - 3
    expected = [_warped(i, f) for i, f in zip(image.numpy(), flow.numpy(), strict=True)]
    np.testing.assert_allclose(warp(image, flow), expected, atol=1e-5)


def test_equation_8_term_by_term() -> None:
    relit, own, crossed = (_rand(2, 2, 3, 8, 8 + n)[..., :8] for n in range(3))
    flow, mask = 3 * _rand(2, 2, 2, 8, 8) - 1.5, (_rand(2, 2, 1, 8, 8) < 0.8).float()
    occluded = (_rand(2, 2, 1, 8, 9)[..., :8] < 0.2).float()
    r, o, x, f, m, hidden = (v.numpy().astype(float) for v in (relit, own, crossed, flow, mask, occluded))
    expected = 0.0
    for b in range(2):
        def at(pair: np.ndarray, time: int, b: int = b) -> np.ndarray:
            """The other frame of a pair, brought to ``time``."""
            return _warped(pair[b, 1 - time], f[b, time])

        def visible(time: int, b: int = b) -> np.ndarray:
            rows, columns = np.mgrid[:8, :8]
            xx, yy = columns + f[b, time, 0], rows + f[b, time, 1]
            inside = (xx >= 0) & (xx <= 7) & (yy >= 0) & (yy <= 7)
            return m[b, time] * _warped(m[b, 1 - time], f[b, time]) * inside * (1 - hidden[b, time])

        under_i, under_j = np.stack([o[:, 0], x[:, 1]], 1), np.stack([x[:, 0], o[:, 1]], 1)
        for pair in (r, under_i, under_j):
            # f_{t,t+1}(X_t) − X_{t+1}, then f_{t+1,t}(X_{t+1}) − X_t
            for time in (1, 0):
                expected += _mean_l1(visible(time)[None], (at(pair, time) - pair[b, time])[None]) / 2
    found = losses.temporal_loss(relit, own, crossed, mask, flow, occluded)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_equation_8_without_a_mask_sees_every_pixel() -> None:
    pair, zeros = _rand(1, 2, 3, 8, 8), torch.zeros(1, 2, 2, 8, 8)
    nothing = torch.zeros(1, 2, 1, 8, 8)
    expected = 6 * (pair[:, 0] - pair[:, 1]).abs().mean()
    np.testing.assert_allclose(
        losses.temporal_loss(pair, pair, pair, nothing, zeros, nothing, masked=False), expected, **TOLERANCE
    )
    assert losses.temporal_loss(pair, pair, pair, nothing, zeros, nothing) == 0


def test_pictures_that_only_move_have_no_temporal_loss() -> None:
    sample = painted_batch(2, 64)
    target = sample.target_srgb
    assert losses.temporal_floor(target, sample.mask, sample.flow, sample.occluded) < 1e-5
    assert losses.temporal_loss(target, target, target, sample.mask, sample.flow, sample.occluded) < 1e-5
    wrong = sample.flow.flip(1)  # backwards: the disc would move the other way
    assert losses.temporal_floor(target, sample.mask, wrong, sample.occluded) > 0.02


def test_frames_are_brought_to_the_other_time() -> None:
    sample = painted_batch(1, 64)
    moved = warp_to_other(sample.target_srgb, sample.flow)
    dx, dy = SHIFT
    np.testing.assert_allclose(moved[0, 0, :, :-dy, :-dx], sample.target_srgb[0, 1, :, dy:, dx:], atol=1e-5)


def test_hidden_pixels_and_pixels_out_of_frame_do_not_count() -> None:
    ones, flow = torch.ones(1, 2, 1, 8, 8), torch.zeros(1, 2, 2, 8, 8)
    flow[:, 0, 0] = 2.5
    assert in_frame(flow)[0, 0, 0, 0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    hidden = torch.zeros(1, 2, 1, 8, 8)
    hidden[0, 1, 0, 3, 3] = 1
    visible = visible_in_both(ones, flow, hidden)
    assert visible[0, 0].sum() == 40
    assert visible[0, 1].sum() == 63
    assert visible[0, 1, 0, 3, 3] == 0


def test_equation_10() -> None:
    terms = {"basic": torch.tensor(2.0), "temporal": torch.tensor(5.0)}
    assert losses.total_loss(terms, {"basic": 1.0, "temporal": 0.5, "latent": 9.0}) == 4.5


@pytest.fixture(scope="module")
def state() -> TrainingState:
    return make_state(CONFIG, torch.device("cpu"))


@pytest.fixture(scope="module")
def sample() -> Sample:
    return painted_batch(2, 64)


def _reached(module: torch.nn.Module, loss: torch.Tensor) -> set[str]:
    """Parts of the network with a gradient that is not zero: encoder, LH, decoder, parsing."""
    module.zero_grad()
    loss.backward()
    parts = set()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().sum() > 0:
            parts.add("LH" if ".LH." in name else "parsing" if ".parsing." in name else name.split(".")[0])
    return parts


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("basic", {"encoder", "LH", "decoder"}),
        ("latent", {"encoder", "decoder"}),
        ("parsing", {"encoder", "decoder", "parsing"}),
        ("temporal", {"encoder", "LH", "decoder"}),
    ],
)
def test_where_the_gradient_of_each_loss_goes(
    term: str, parts: set[str], state: TrainingState, sample: Sample
) -> None:
    _, terms = PairPasses(state.network, LossConfig())(sample, [term])
    assert set(terms) == {term}
    assert _reached(state.network, terms[term]) == parts


def test_the_critic_moves_the_decoder_only(state: TrainingState, sample: Sample) -> None:
    passes = PairPasses(state.network, LossConfig())
    state.network.zero_grad()
    made, _ = passes(sample, ["basic"])
    _, gradients = adversarial_gradients(state, made, sample, CONFIG)
    decoder = dict(state.network.decoder.named_parameters())
    assert len(gradients) == len(decoder)
    moved = {name for name, g in zip(decoder, gradients, strict=True) if g.abs().sum() > 0}
    assert moved == {name for name in decoder if "parsing" not in name}
    assert all(p.grad is None for p in state.network.parameters())
    assert state.critic is not None
    assert all(p.grad is None for p in state.critic.parameters())
    state.memory.clear()


def test_the_temporal_loss_reaches_both_frames() -> None:
    frames = [_rand(1, 2, 3, 8, 8 + n)[..., :8].clone().requires_grad_() for n in range(3)]
    ones = torch.ones(1, 2, 1, 8, 8)
    losses.temporal_loss(*frames, ones, torch.zeros(1, 2, 2, 8, 8), torch.zeros_like(ones)).backward()
    for pair in frames:
        assert pair.grad is not None
        assert pair.grad[:, 0].abs().sum() > 0
        assert pair.grad[:, 1].abs().sum() > 0


@pytest.mark.parametrize(("stop", "first_pass"), [("none", True), ("first", False)])
def test_the_latent_loss_reaches_both_passes(stop: str, first_pass: bool) -> None:
    code, again = (_rand(1, 4, 2, 2 + n)[..., :2].clone().requires_grad_() for n in range(2))
    losses.latent_loss(code, again, stop).backward()  # type: ignore[arg-type]
    assert again.grad is not None
    assert again.grad.abs().sum() > 0
    assert (code.grad is not None and code.grad.abs().sum() > 0) == first_pass


@pytest.mark.parametrize("term", ["basic", "latent", "parsing", "temporal"])
def test_each_loss_alone_decreases(term: str, sample: Sample) -> None:
    # The code starts out the same for all pictures at this size; a step into noise first, so that Eq. 5 has work.
    network = make_state(CONFIG, torch.device("cpu")).network
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for p in network.encoder.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator)
    passes = PairPasses(network, LossConfig())
    optimizer = torch.optim.RMSprop(network.parameters(), lr=2e-4)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = passes(sample, [term])[1][term]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert np.mean(values[-3:]) < 0.9 * values[0]


def test_the_adversarial_loss_alone_decreases(state: TrainingState, sample: Sample) -> None:
    network = make_state(CONFIG, torch.device("cpu")).network
    assert state.critic is not None
    mask, light = sample.mask[:, 0], sample.target_light
    optimizer = torch.optim.RMSprop(network.decoder.parameters(), lr=1e-4)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        relit, _, _ = network(sample.input_srgb[:, 0], light)
        loss = losses.adversarial_loss(state.critic(mask * sample.input_srgb[:, 0], mask * relit, light))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < values[0]
