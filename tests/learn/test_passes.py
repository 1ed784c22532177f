"""A batch through all passes against its frames one by one: every loss gets the pictures that its equation names."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from painted_runs import ALONE
from painted_samples import in_double, painted_batch, tiny_config
from torch import Tensor

from olatkit.learn import losses
from olatkit.learn.config import LossConfig
from olatkit.learn.network import Decoding, RelightingNetwork
from olatkit.learn.passes import PairPasses
from olatkit.learn.sample import Sample
from olatkit.learn.state import make_state

# In double precision: a fresh network's pictures are so alike that float32 could not tell a mix-up from rounding.
TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}
FRAMES = ((0, 0), (0, 1), (1, 0), (1, 1))  # pair and time


@pytest.fixture(scope="module")
def network() -> RelightingNetwork:
    network = make_state(tiny_config(), ALONE.device).network.double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():  # so that lights and codes differ between pictures, and matter
            p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return network


@pytest.fixture(scope="module")
def sample() -> Sample:
    """No two fields alike: clean pictures are not what goes in, and parts are hidden."""
    sample = in_double(painted_batch(2, 64))
    hidden = torch.zeros_like(sample.occluded)
    hidden[:, 0, :, 20:30], hidden[:, 1, :, :, 35:40] = 1, 1
    return replace(sample, clean_srgb=0.8 * sample.input_srgb + 0.1, occluded=hidden)


class OneByOne:
    """The passes of Fig. 4, a frame at a time; ``[pair][time]`` holds results with a first axis of 1."""

    def __init__(self, network: RelightingNetwork, sample: Sample) -> None:
        found = [[network.encode(sample.input_srgb[b, t][None]) for t in (0, 1)] for b in (0, 1)]

        def under(light: Tensor, b: int, t: int) -> Decoding:
            return network.decode(light, found[b][t].skips, found[b][t].code)

        self.light = _of_frames(lambda b, t: found[b][t].light)
        self.code = _of_frames(lambda b, t: found[b][t].code)
        self.relit = _of_frames(lambda b, t: under(sample.target_light[b][None], b, t).image)
        self.parsing = _of_frames(lambda b, t: under(sample.target_light[b][None], b, t).parsing)
        self.own = _of_frames(lambda b, t: under(self.light[b][t], b, t).image)
        self.crossed = _of_frames(lambda b, t: under(self.light[b][1 - t], b, t).image)
        self.code_of_relit = _of_frames(lambda b, t: network.encode(self.relit[b][t]).code)


def _of_frames(make: Callable[[int, int], Tensor | None]) -> list[list[Tensor]]:
    return [[make(b, t) for t in (0, 1)] for b in (0, 1)]  # type: ignore[misc]


@pytest.fixture(scope="module")
def alone(network: RelightingNetwork, sample: Sample) -> OneByOne:
    with torch.no_grad():
        return OneByOne(network, sample)


def _term(network: RelightingNetwork, sample: Sample, wanted: str, config: LossConfig | None = None) -> float:
    with torch.no_grad():
        return PairPasses(network, config or LossConfig())(sample, [wanted])[1][wanted].item()


def _stacked(values: list[list[Tensor]]) -> Tensor:
    """(B, 2, ...)."""
    return torch.stack([torch.cat(pair) for pair in values])


def test_pictures_come_out_frame_by_frame(network: RelightingNetwork, sample: Sample, alone: OneByOne) -> None:
    with torch.no_grad():
        made, _ = PairPasses(network, LossConfig())(sample, [])
    for name in ("light", "code", "relit", "own", "parsing"):
        expected = torch.cat([getattr(alone, name)[b][t] for b, t in FRAMES])
        np.testing.assert_allclose(getattr(made, name), expected, **TOLERANCE, err_msg=name)


@pytest.mark.parametrize("norm", ["mean_square", "l2"])
def test_what_eq_4_compares(norm: str, network: RelightingNetwork, sample: Sample, alone: OneByOne) -> None:
    """Light with true light, relit picture with target, self-reconstruction with its own clean source."""

    def expected(truth_of_own: Tensor) -> float:
        return np.mean([
            0.5 * losses.light_distance(sample.input_light[b, t][None], alone.light[b][t], norm)  # type: ignore[arg-type]
            + losses.masked_l1(sample.mask[b, t][None], sample.target_srgb[b, t] - alone.relit[b][t])
            + losses.masked_l1(sample.mask[b, t][None], truth_of_own[b, t] - alone.own[b][t])
            for b, t in FRAMES
        ])

    found = _term(network, sample, "basic", LossConfig(light_norm=norm))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected(sample.clean_srgb), **TOLERANCE)
    for wrong in (sample.target_srgb, sample.input_srgb, sample.clean_srgb.flip(1)):
        assert abs(expected(wrong) - found) > 1e-4


def test_what_eq_5_compares(network: RelightingNetwork, sample: Sample, alone: OneByOne) -> None:
    """The code of a frame with that of the same frame, relit."""
    expected = np.mean([losses.latent_loss(alone.code[b][t], alone.code_of_relit[b][t]) for b, t in FRAMES])
    np.testing.assert_allclose(_term(network, sample, "latent"), expected, **TOLERANCE)


def test_what_eq_6_compares(network: RelightingNetwork, sample: Sample, alone: OneByOne) -> None:
    expected = np.mean([losses.parsing_loss(alone.parsing[b][t], sample.labels[b, t][None]) for b, t in FRAMES])
    np.testing.assert_allclose(_term(network, sample, "parsing"), expected, **TOLERANCE)


@pytest.mark.parametrize("masked", [True, False])
def test_what_eq_8_compares(masked: bool, network: RelightingNetwork, sample: Sample, alone: OneByOne) -> None:
    """Among others frame t under the light found in t + 1, and the other way round."""

    def expected(crossed: list[list[Tensor]]) -> float:
        return losses.temporal_loss(
            _stacked(alone.relit), _stacked(alone.own), _stacked(crossed), sample.mask, sample.flow, sample.occluded,
            masked=masked,
        ).item()

    found = _term(network, sample, "temporal", LossConfig(temporal_mask=masked))
    np.testing.assert_allclose(found, expected(alone.crossed), **TOLERANCE)
    for wrong in (alone.own, alone.relit, [pair[::-1] for pair in alone.crossed], alone.crossed[::-1]):
        assert abs(expected(wrong) - found) > 1e-4
