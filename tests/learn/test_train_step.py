"""One step as training takes it: what the network gets from the critic, and the critic from the network."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from painted_runs import ALONE
from painted_samples import painted_batch, tiny_config

from olatkit.learn.critic import CriticPasses
from olatkit.learn.passes import PairPasses, Passes
from olatkit.learn.sample import Sample
from olatkit.learn.state import TrainingState, make_state
from olatkit.learn.train import train_critic, train_network

CONFIG = tiny_config()
WEIGHTS = {"basic": 1.0, "latent": 1.0, "parsing": 1.0, "temporal": 1.0}


def _batch(count: int, seed: int = 0) -> Sample:
    """Painted pairs with something behind the foreground: half of the disc no longer counts as face."""
    sample = painted_batch(count, 64, seed)
    mask = sample.mask.clone()
    mask[..., :32] = 0
    return replace(sample, mask=mask)


def _step(samples: list[Sample], weights: dict[str, float]) -> tuple[TrainingState, Passes]:
    """The gradients of a step, always from the same start, and what came out for the last batch."""
    state = make_state(CONFIG, ALONE.device)
    made, _ = train_network(state, PairPasses(state.network, CONFIG.losses), samples, weights, CONFIG, ALONE)
    return state, made


def test_a_step_takes_the_gradient_of_the_critic_to_the_decoder_alone() -> None:
    samples = [_batch(1, seed) for seed in (0, 1)]
    (without, _), (state, _) = _step(samples, WEIGHTS), _step(samples, WEIGHTS | {"adversarial": 0.5})
    for (name, a), b in zip(
        state.network.encoder.named_parameters(), without.network.encoder.parameters(), strict=True
    ):
        assert a.grad is not None, name
        assert torch.equal(a.grad, b.grad), name  # type: ignore[arg-type]

    # What the decoder gets on top is Eq. 7 of frame t, times its weight.
    assert state.critic is not None
    assert all(p.grad is None for p in state.critic.parameters())
    scores = []
    for sample in samples:
        mask, source = sample.mask[:, 0], sample.input_srgb[:, 0]
        relit, _, _ = state.network(source, sample.target_light)
        scores.append(state.critic(mask * source, mask * relit, sample.target_light).mean())
    decoder = dict(state.network.decoder.named_parameters())
    expected = torch.autograd.grad(
        -0.5 * torch.stack(scores).mean(), list(decoder.values()), allow_unused=True, materialize_grads=True
    )
    for name, wanted, b in zip(decoder, expected, without.network.decoder.parameters(), strict=True):
        found = decoder[name].grad - b.grad  # type: ignore[operator]
        assert wanted.norm() > 0 or "parsing" in name, name
        assert (found - wanted).norm() <= 1e-3 * wanted.norm(), name


def test_the_critic_is_shown_true_pictures_as_true_and_made_ones_as_made() -> None:
    sample = _batch(2)
    state, made = _step([sample], WEIGHTS | {"adversarial": 1.0})
    mask = sample.mask[:, 0]
    expected = (mask * sample.input_srgb[:, 0], mask * sample.target_srgb[:, 0], mask * made.relit[::2].detach())
    *pictures, light = state.memory.batch(0)
    for found, wanted in zip(pictures, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=3e-4)  # half precision
    assert torch.equal(light, sample.target_light)


def test_the_critic_descends_eq_7_and_ends_up_scoring_true_pictures_higher() -> None:
    sample = _batch(2)
    state, made = _step([sample], {"basic": 1.0, "adversarial": 1.0})
    assert state.critic is not None
    mask, light = sample.mask[:, 0], sample.target_light
    pictures = sample.input_srgb[:, 0], sample.target_srgb[:, 0], made.relit[::2].detach()
    source, true, relit = ((mask * x).half().float() for x in pictures)  # as the memory holds them

    def eq_7(critic: torch.nn.Module) -> torch.Tensor:
        return -critic(source, true, light).mean() + critic(source, relit, light).mean()

    before = deepcopy(state.critic)
    loss = eq_7(before)
    loss.backward()
    # So few channels keep a voice only if their weights may grow.
    one, many = (tiny_config(critic={"widths": [8] * 4, "steps": n, "clip": 1.0}) for n in (1, 10))
    passes = CriticPasses(state.critic)
    assert train_critic(state, passes, one)["critic"].item() == pytest.approx(loss.item(), abs=1e-5)
    found, expected = (
        torch.cat([p.grad.flatten() for p in critic.parameters()])  # type: ignore[union-attr]
        for critic in (state.critic, before)
    )
    assert (found - expected).norm() < 1e-3 * expected.norm()

    first = eq_7(state.critic).item()
    train_critic(state, passes, many)
    assert eq_7(state.critic).item() < first < min(loss.item(), 0)
