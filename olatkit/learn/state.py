"""Everything that changes while training, and its form in a checkpoint."""

from dataclasses import dataclass, field
from typing import Any

import torch

from olatkit.errors import ConfigError
from olatkit.learn.average import make_average
from olatkit.learn.blocks import place
from olatkit.learn.config import OptimizerConfig, TrainConfig
from olatkit.learn.critic import Critic, critic_widths
from olatkit.learn.memory import CriticMemory
from olatkit.learn.network import RelightingNetwork


@dataclass(eq=False)
class TrainingState:
    """Network, critic, their optimizers, and how far the training is.

    ``step`` counts finished steps; ``pairs`` the pairs of frames that each process has taken from the loader; ``data``
    are SHA-256 by name of what is trained on, ``changes`` the words for what was changed when the training was resumed.
    """

    network: RelightingNetwork
    average: RelightingNetwork
    critic: Critic | None
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer | None
    memory: CriticMemory
    step: int = 0
    pairs: int = 0
    data: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)

    @property
    def critic_sizes(self) -> tuple[int, ...]:
        """Sides of the pictures that the critic takes [px]; none without a critic."""
        return self.critic.sizes if self.critic is not None else ()

    def reset_optimizers(self, config: OptimizerConfig) -> None:
        """Forget the gradients' history and the critic's past batches: another resolution begins."""
        self.optimizer = make_optimizer(self.network, config)
        if self.critic is not None:
            self.critic_optimizer = make_optimizer(self.critic, config)
        self.memory.clear()


def make_state(config: TrainConfig, device: torch.device) -> TrainingState:
    """A state before the first step; weights depend on the seed alone.

    Raises
    ------
    ConfigError
        The critic has no form for the last stage's size.
    """
    torch.manual_seed(config.seed)
    network, critic = make_network(config), make_critic(config)
    place(network, device)
    if critic is not None:
        place(critic, device)
    return TrainingState(
        network, make_average(network), critic, make_optimizer(network, config.optimizer),
        None if critic is None else make_optimizer(critic, config.optimizer), CriticMemory(config.critic.memory),
    )


def make_optimizer(module: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """RMSprop without momentum, as Wasserstein critics want it."""
    return torch.optim.RMSprop(module.parameters(), lr=config.learning_rate, alpha=config.smoothing, eps=1e-8)


def make_network(config: TrainConfig) -> RelightingNetwork:
    """The network that the settings name, with random weights."""
    return RelightingNetwork(
        config.variant, parsing_channels=config.parsing_classes, activation=config.activation, norm=config.norm,
        light_levels=config.light_levels,
    )


def make_critic(config: TrainConfig) -> Critic | None:
    """The critic for the last stage's size, None if none is wanted; ConfigError if there is none for that size."""
    if not config.losses.adversarial or not config.losses.weights.adversarial:
        return None
    size = config.stages[-1].size
    try:
        critic = Critic(config.critic.widths or critic_widths(size))
    except ValueError as error:
        raise ConfigError(f"critic: {error}; or switch it off with losses.adversarial: false") from error
    if size not in critic.sizes:
        raise ConfigError(
            f"critic.widths has {len(critic.widths)} convolutions, for pictures of {critic.sizes[0]} or "
            f"{critic.sizes[1]} px, but the last stage has {size} px"
        )
    return critic


def pack_state(state: TrainingState) -> dict[str, Any]:
    """Tensors and plain values only, so that a checkpoint can be read without running code from it."""
    return {
        "step": state.step,
        "pairs": state.pairs,
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "critic": None if state.critic is None else state.critic.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "critic_optimizer": None if state.critic_optimizer is None else state.critic_optimizer.state_dict(),
        "memory": state.memory.state(),
        "rng": torch.get_rng_state(),
        "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def unpack_state(state: TrainingState, packed: dict[str, Any], device: torch.device) -> None:
    """Take over what :func:`pack_state` packed, into a state whose network and critic have the same form."""
    state.step, state.pairs = packed["step"], packed["pairs"]
    state.network.load_state_dict(packed["network"])
    state.average.load_state_dict(packed["average"])
    _restore(state.optimizer, packed["optimizer"])
    if state.critic is not None and state.critic_optimizer is not None and packed["critic"] is not None:
        state.critic.load_state_dict(packed["critic"])
        _restore(state.critic_optimizer, packed["critic_optimizer"])
    state.memory.restore(packed["memory"], device)
    torch.set_rng_state(packed["rng"])
    if packed["rng_cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(packed["rng_cuda"][: torch.cuda.device_count()])


def _restore(optimizer: torch.optim.Optimizer, packed: dict[str, Any]) -> None:
    """The gradients' history as it was, rate and smoothing as the settings say now."""
    optimizer.load_state_dict({**packed, "param_groups": optimizer.state_dict()["param_groups"]})
