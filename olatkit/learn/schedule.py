"""What happens at which step of a training: resolution stages, and which losses count how much."""

from dataclasses import dataclass

from olatkit.errors import ConfigError
from olatkit.learn.config import TrainConfig


@dataclass(frozen=True)
class Stage:
    """Steps ``first`` to ``stop`` (exclusive) at pictures of side ``size`` [px] with ``batch`` pairs per process."""

    number: int
    size: int
    batch: int
    first: int
    stop: int


def plan_stages(config: TrainConfig) -> tuple[Stage, ...]:
    """Share the steps out among the stages, in whole steps that sum to ``config.steps``."""
    stages, share = [], 0.0
    for number, stage in enumerate(config.stages):
        first = round(share * config.steps)
        share += stage.share
        stages.append(Stage(number, stage.size, stage.batch, first, round(share * config.steps)))
    empty = [stage.number for stage in stages if stage.first == stage.stop]
    if empty:
        raise ConfigError(f"stage {empty[0]} has no step of {config.steps}: give it a larger share, or more steps")
    return tuple(stages)


def stage_at(stages: tuple[Stage, ...], step: int) -> Stage:
    """The stage that a step belongs to."""
    return next(stage for stage in stages if step < stage.stop)


def learning_rate(config: TrainConfig, stage: Stage, step: int) -> float:
    """Step size of the network at a step.

    The first steps of RMSprop are up to ten times too long, since its mean of squared gradients starts at zero; they
    can leave the network with one structure code for all pictures. So every stage begins with small ones.
    """
    return config.optimizer.learning_rate * min((step - stage.first + 1) / config.optimizer.ramp, 1.0)


def loss_weights(
    config: TrainConfig, stages: tuple[Stage, ...], critic_sizes: tuple[int, ...], step: int
) -> dict[str, float]:
    """λ of the losses that count at a step; a loss that does not count is left out and need not be computed.

    Eq. 5 and 8 start after the warm-up: before, pictures are noise. Eq. 7 fades in over as many steps, from the first
    stage whose size the critic takes.
    """
    losses = config.losses
    wanted = {
        "basic": True, "latent": losses.structure, "parsing": losses.parsing, "temporal": losses.temporal,
        "adversarial": losses.adversarial,
    }
    weights = {name: getattr(losses.weights, name) for name, on in wanted.items() if on}
    warm_up = round(losses.warm_up * config.steps)
    if step < warm_up:
        weights.pop("latent", None)
        weights.pop("temporal", None)
    if "adversarial" in weights:
        starts = [stage.first for stage in stages if stage.size in critic_sizes]
        start = max(starts[0], warm_up) if starts else config.steps
        weights["adversarial"] *= min(max((step - start + 1) / max(warm_up, 1), 0.0), 1.0)
        if stage_at(stages, step).size not in critic_sizes:
            del weights["adversarial"]
    return {name: weight for name, weight in weights.items() if weight > 0}
