"""The training loop: Zhang et al., ICCV 2021, section 4, from samples to checkpoints.

Every step: the critic learns from past batches, the network from a new one. RMSprop for both; the critic's parameters
are clipped; resolution grows in stages; averaged weights are kept for evaluation. The order of samples, lightings and
weights depends on the seed alone, and on a CPU a resumed training gives the same bits as one that was never stopped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from olatkit.learn.average import update_average, update_statistics
from olatkit.learn.checkpoint import find_checkpoints, open_run
from olatkit.learn.config import TrainConfig
from olatkit.learn.critic import CriticPasses
from olatkit.learn.distributed import Ranks, average_over_ranks, in_parallel, no_exchange
from olatkit.learn.failures import explain_out_of_memory, stop_if_not_finite
from olatkit.learn.losses import adversarial_loss, critic_loss, total_loss
from olatkit.learn.passes import PairPasses, Passes
from olatkit.learn.reporting import OpenValidation, Progress, Reporter
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage, learning_rate, loss_weights, plan_stages, stage_at
from olatkit.learn.state import TrainingState, make_state

# Opens an endless row of batches on the training device: of a stage, after so many pairs.
OpenBatches = Callable[[Stage, int], Iterator[Sample]]


def train(
    config: TrainConfig, open_batches: OpenBatches, folder: Path, ranks: Ranks, *,
    open_validation: OpenValidation | None = None, data: Mapping[str, str] | None = None, resume: bool = False,
    accept_changes: bool = False, overwrite: bool = False, progress: Progress | None = None,
) -> Path:
    """Train a network; returns the path of its last checkpoint.

    Parameters
    ----------
    config : TrainConfig
        All settings; stored in ``folder`` as ``train.yaml``.
    open_batches : callable
        ``open_batches(stage, pairs)`` gives the batches of a stage from where every process has taken ``pairs`` pairs.
    folder : Path
        The run: checkpoints, ``metrics.csv``, pictures.
    ranks : Ranks
        This process among all, and its device; the first one writes.
    open_validation : callable, optional
        ``open_validation(stage)`` gives held-out batches.
    data : mapping of str to str, optional
        SHA-256 by name of what the batches come from; stored, and compared on resuming.
    resume : bool
        Go on from the newest checkpoint in ``folder``; from the start if there is none yet.
    accept_changes : bool
        Resume with other settings or data too; the checkpoints say what was changed.
    overwrite : bool
        Start anew in a folder that holds a run.
    progress : callable, optional
        Called after every step with finished steps, all steps and the newest measurements.

    Raises
    ------
    OutputExistsError
        The folder holds a run and neither ``resume`` nor ``overwrite`` is given.
    ConfigError
        A setting cannot be, or settings or data differ from the run that is to be resumed.
    TrainingError
        A loss is not finite, or memory does not suffice.
    """
    stages = plan_stages(config)
    with explain_out_of_memory(config, stages[0], ranks.device):
        state = make_state(config, ranks.device)
    state.data = dict(data or {})
    open_run(folder, state, config, ranks, resume=resume, overwrite=overwrite, accept_changes=accept_changes)
    if config.compile:
        state.network.encoder.compile()
        state.network.decoder.compile()
    with Reporter(folder, config, ranks, state.step, progress) as reporter:
        while state.step < config.steps:
            stage = stage_at(stages, state.step)
            if state.step == stage.first and stage.number > 0:
                state.reset_optimizers(config.optimizer)
            with explain_out_of_memory(config, stage, ranks.device):
                validation = open_validation(stage) if open_validation and ranks.first else ()
                _train_stage(config, stages, stage, state, open_batches, folder, ranks, reporter, validation)
    ranks.wait()  # until the first process has written the last checkpoint
    return find_checkpoints(folder)[-1]


def _train_stage(
    config: TrainConfig, stages: tuple[Stage, ...], stage: Stage, state: TrainingState, open_batches: OpenBatches,
    folder: Path, ranks: Ranks, reporter: Reporter, validation: Sequence[Sample],
) -> None:
    """The steps of one resolution that are still to do."""
    batches = open_batches(stage, state.pairs)
    # Only Eq. 4 reaches every part of the network, so without it some parameters get no gradient.
    passes = in_parallel(PairPasses(state.network, config.losses), ranks, unused=not config.losses.weights.basic)
    critic = None
    if state.critic is not None and stage.size in state.critic.sizes:
        critic = in_parallel(CriticPasses(state.critic), ranks, unused=stage.size != state.critic.sizes[0])
    while state.step < stage.stop:
        weights = loss_weights(config, stages, state.critic_sizes, state.step)
        with reporter.waiting():
            samples = [next(batches) for _ in range(config.accumulate)]
        if critic is not None and "adversarial" in weights and len(state.memory):
            reporter.add(train_critic(state, critic, config))
        made, values = train_network(state, passes, samples, weights, config, ranks)
        reporter.add(values)
        stop_if_not_finite(values, state, samples, config, folder, ranks)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, stage, state.step)
        state.optimizer.step()
        update_average(state.average, state.network, config.average, state.step)
        with precision(config, ranks.device):
            lights = samples[-1].target_light.repeat_interleave(2, dim=0)
            update_statistics(state.average, samples[-1].input_srgb.flatten(0, 1), lights, state.step)
        state.step += 1
        state.pairs += stage.batch * config.accumulate
        reporter.after_step(state, stage, made, samples[-1], validation)


def train_critic(state: TrainingState, critic: nn.Module, config: TrainConfig) -> dict[str, Tensor]:
    """Several steps of the critic on past batches (Eq. 7); returns its mean loss."""
    assert state.critic is not None
    assert state.critic_optimizer is not None
    losses = []
    for number in range(config.critic.steps):
        state.critic_optimizer.zero_grad()
        source, target, relit, light = state.memory.batch(number)
        with precision(config, source.device):
            real_scores, relit_scores = critic(source, target, relit, light)
        losses.append(critic_loss(real_scores, relit_scores))
        losses[-1].backward()
        state.critic_optimizer.step()
        state.critic.clip_weights(config.critic.clip)
    return {"critic": torch.stack(losses).detach().mean()}


def train_network(
    state: TrainingState, passes: nn.Module, samples: Sequence[Sample], weights: Mapping[str, float],
    config: TrainConfig, ranks: Ranks,
) -> tuple[Passes, dict[str, Tensor]]:
    """The gradient of Eq. 10 for encoder and decoder, averaged over batches and processes.

    Returns
    -------
    Passes, dict of str to tensor of shape ()
        What came out for the last batch; the losses, their ``total`` and the norm of the ``gradient``.
    """
    state.optimizer.zero_grad()
    decoder = list(state.network.decoder.parameters())
    from_critic = [torch.zeros_like(p) for p in decoder] if "adversarial" in weights else []
    sums: dict[str, Tensor] = {}
    for number, sample in enumerate(samples):
        with no_exchange(passes, wait=number < len(samples) - 1):
            with precision(config, ranks.device):
                made, terms = passes(sample, weights.keys())
            total = total_loss(terms, weights)
            if from_critic:
                terms["adversarial"], gradients = adversarial_gradients(state, made, sample, config)
                torch._foreach_add_(from_critic, gradients, alpha=weights["adversarial"] / len(samples))
            (total / len(samples)).backward()
        terms["total"] = total_loss(terms, weights)
        sums = {name: sums.get(name, 0) + term.detach() / len(samples) for name, term in terms.items()}
    average_over_ranks(from_critic, ranks)
    for parameter, gradient in zip(decoder, from_critic, strict=False):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
    norm = torch.nn.utils.get_total_norm([p.grad for p in state.network.parameters() if p.grad is not None])
    if config.optimizer.largest_gradient is not None:
        torch.nn.utils.clip_grads_with_norm_(state.network.parameters(), config.optimizer.largest_gradient, norm)
    return made, {**sums, "gradient": norm}


def adversarial_gradients(
    state: TrainingState, made: Passes, sample: Sample, config: TrainConfig
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Eq. 7 for frame t, and its gradient for the decoder alone: the encoder gets nothing from the critic.

    The batch joins the critic's memory.
    """
    assert state.critic is not None
    mask, light = sample.mask[:, 0], sample.target_light
    source, relit = mask * sample.input_srgb[:, 0], mask * made.relit[::2]
    state.memory.add(source, mask * sample.target_srgb[:, 0], relit, light)
    with precision(config, source.device):
        loss = adversarial_loss(state.critic(source, relit, light))
    # The parsing head has no part in the relit picture: its gradient is zero.
    decoder = list(state.network.decoder.parameters())
    return loss, torch.autograd.grad(loss, decoder, retain_graph=True, allow_unused=True, materialize_grads=True)


def precision(config: TrainConfig, device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16, if wanted; losses, lights and the critic's score stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")
