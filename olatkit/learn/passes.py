"""One sample through the network: every pass of Fig. 4 of Zhang et al., ICCV 2021, and the losses on their results."""

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, nn

from olatkit.learn import losses
from olatkit.learn.config import LossConfig
from olatkit.learn.network import RelightingNetwork
from olatkit.learn.sample import Sample


@dataclass(frozen=True, eq=False)
class Passes:
    """What the network makes of B pairs of frames; N = 2 B pictures follow each other as t, t + 1, t, t + 1, ...

    ``light`` (N, 3, 16, 16) is L̂ and ``code`` (N, C, h, w) ê; ``relit`` (N, 3, S, S) is Ĩ^k; ``own`` Î under the
    frame's own predicted light; ``parsing`` (N, K, S, S) logits, None without parsing.
    """

    light: Tensor
    code: Tensor
    relit: Tensor
    own: Tensor
    parsing: Tensor | None


class PairPasses(nn.Module):
    """All passes of a batch as one module, so that data-parallel training wraps one forward and one backward pass."""

    def __init__(self, network: RelightingNetwork, config: LossConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, sample: Sample, wanted: Collection[str]) -> tuple[Passes, dict[str, Tensor]]:
        """Run a batch of pairs.

        Parameters
        ----------
        sample : Sample
            A batch of B pairs.
        wanted : collection of str
            Losses to compute: basic, latent, parsing, temporal. Passes that only others need are left out.

        Returns
        -------
        Passes, dict of str to tensor of shape ()
        """
        network, config = self.network, self.config
        source, target_light = sample.input_srgb.flatten(0, 1), sample.target_light.repeat_interleave(2, dim=0)

        light, skips, code = network.encode(source)
        relit, parsing = network.decode(target_light, skips, code)
        own, _ = network.decode(light, skips, code)

        terms = {}
        if "basic" in wanted:
            target, clean, mask = (x.flatten(0, 1) for x in (sample.target_srgb, sample.clean_srgb, sample.mask))
            true_light = sample.input_light.flatten(0, 1)
            terms["basic"] = losses.basic_loss(light, true_light, relit, target, own, clean, mask, config.light_norm)
        if "latent" in wanted:
            code_of_relit = network.encode(relit).code
            terms["latent"] = losses.latent_loss(code, code_of_relit, config.latent_stop_gradient)
        if "parsing" in wanted and parsing is not None:
            terms["parsing"] = losses.parsing_loss(parsing, sample.labels.flatten(0, 1))
        if "temporal" in wanted:
            light_of_other = _pairs(light).flip(1).flatten(0, 1)
            crossed, _ = network.decode(light_of_other, skips, code)
            terms["temporal"] = losses.temporal_loss(
                _pairs(relit), _pairs(own), _pairs(crossed), sample.mask, sample.flow, sample.occluded,
                masked=config.temporal_mask,
            )
        return Passes(light, code, relit, own, parsing), terms


def _pairs(pictures: Tensor) -> Tensor:
    """Pictures (2 B, ...) as pairs (B, 2, ...)."""
    return pictures.unflatten(0, (-1, 2))
