"""When a training cannot go on: what happened, what was saved, and what to try."""

import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from olatkit.errors import TrainingError
from olatkit.io.outputs import whole_file
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks, average_over_ranks
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage
from olatkit.learn.state import TrainingState
from olatkit.learn.variants import VARIANTS

# The CPU's allocator, its kernels and a GPU's libraries have no exception of their own.
_NO_MEMORY = re.compile(r"can't allocate memory|could not create a primitive|out of memory|_STATUS_ALLOC_FAILED")
_READER_DIED = re.compile(r"DataLoader worker \(pid.*(exited unexpectedly|killed by signal)|shared memory")


def stop_if_not_finite(
    values: Mapping[str, Tensor], state: TrainingState, samples: Sequence[Sample], config: TrainConfig, folder: Path,
    ranks: Ranks,
) -> None:
    """Raise TrainingError if loss or gradient is not finite in any process, before the step: the weights are good.

    The batches and the weights are saved as ``failed-step-N-process-R.pt``: a dict of ``step``, ``batches`` (a list of
    the fields of ``Sample``) and ``network``, for ``torch.load``.
    """
    # A loss can be NaN although its gradient is not: the slope of |x| is taken as 0 there.
    both = values["total"] + values["gradient"]
    average_over_ranks([both], ranks)
    if torch.isfinite(both):
        return
    path = folder / f"failed-step-{state.step:07d}-process-{ranks.rank}.pt"
    batches = [{f.name: getattr(sample, f.name).cpu() for f in fields(sample)} for sample in samples]
    with whole_file(path, overwrite=True) as part:
        torch.save({"step": state.step, "batches": batches, "network": state.network.state_dict()}, part)
    bad = [f"{name} {float(value):g}" for name, value in values.items() if not torch.isfinite(value)]
    bad = bad or ["a loss in another process"]
    exact = "" if config.precision == "fp32" else ", or precision: fp32"
    raise TrainingError(
        f"step {state.step}: not finite: {', '.join(bad)}; batch and weights are saved in {path}; try a smaller "
        f"optimizer.learning_rate, an optimizer.largest_gradient{exact}, with --resume --accept-changes"
    )


@contextmanager
def explain_out_of_memory(config: TrainConfig, stage: Stage, device: torch.device) -> Iterator[None]:
    """Turn an allocation that fails, here or in a reading process, into a TrainingError that says what needs less."""
    try:
        yield
    except (RuntimeError, MemoryError, ConnectionError, EOFError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        # One that dies while it hands over a picture is met as a broken connection first.
        if _READER_DIED.search(words) or isinstance(error, ConnectionError | EOFError):
            # torch's handler would raise anew whenever another of the processes ends.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            variants = config.loader.variants
            smaller = f", or a smaller loader.variants than {variants}" if variants > 1 else ""
            raise TrainingError(
                f"a process that reads samples died ({words[:160]}); most often memory, or the shared memory of a "
                f"container, does not suffice: try --resume with fewer --workers than {config.loader.workers}{smaller}"
            ) from error
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not _NO_MEMORY.search(words):
            raise
        raise TrainingError(
            f"{stage.batch} pair(s) of {stage.size} px with variant '{config.variant}' do not fit into the memory of "
            f"{_name(device)}; try {', or '.join(_ways_out(config, stage))}; a run that has a checkpoint goes on with "
            "--resume --accept-changes"
        ) from error


def _ways_out(config: TrainConfig, stage: Stage) -> list[str]:
    """Settings that need less memory, the mildest first."""
    ways = []
    if stage.batch > 1:
        others = ", which counts in all stages" if len(config.stages) > 1 else ""
        ways.append(f"stages[{stage.number}].batch {stage.batch // 2} with accumulate {2 * config.accumulate}{others}")
    if config.precision == "fp32" and config.variant != "tiny":
        ways.append("precision bf16")
    if stage.size > 128:
        ways.append("stages of fewer pixels")
    smaller = list(VARIANTS)[list(VARIANTS).index(config.variant) + 1 :]
    return ways + [f"variant {name}" for name in smaller[:1]] or ["a machine with more memory"]


def _name(device: torch.device) -> str:
    """The device with its size."""
    if device.type != "cuda":
        return "this machine"
    properties = torch.cuda.get_device_properties(device)
    return f"{device} ({properties.name}, {properties.total_memory / 2**30:.0f} GiB)"
