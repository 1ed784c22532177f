"""What is due after a training step: measurements, pictures, checkpoints, news for the progress bar."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from torch import Tensor

from olatkit.learn.checkpoint import save_checkpoint
from olatkit.learn.config import TrainConfig
from olatkit.learn.distributed import Ranks
from olatkit.learn.logbook import Logbook, Means
from olatkit.learn.measure import measure_passes, validate
from olatkit.learn.passes import Passes
from olatkit.learn.pictures import sample_sheet
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage
from olatkit.learn.state import TrainingState

log = logging.getLogger(__name__)

# Below this variance between samples the structure code tells pictures apart no more.
SMALLEST_SPREAD = 0.05

# Held-out batches of a stage.
OpenValidation = Callable[[Stage], Sequence[Sample]]
# Told after every step: finished steps, all steps, the newest measurements.
Progress = Callable[[int, int, Mapping[str, float]], None]


class Reporter:
    """Collects the values of steps and writes them down when they are due; only the first process writes.

    Speed counts pairs of all processes; ``waiting`` is the share of time in which the first process waited for data.
    """

    def __init__(
        self, folder: Path, config: TrainConfig, ranks: Ranks, step: int, progress: Progress | None
    ) -> None:
        self._folder, self._config, self._ranks, self._progress = folder, config, ranks, progress
        self._logbook = Logbook(folder, after=step, tensorboard=config.report.tensorboard) if ranks.first else None
        self._means = Means()
        self._news: dict[str, float] = {}
        self._start = self._row_start = time.perf_counter()
        self._row_pairs, self._row_waited_s = 0, 0.0
        self._warned = False

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._logbook is not None:
            self._logbook.close()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting for data."""
        start = time.perf_counter()
        yield
        self._row_waited_s += time.perf_counter() - start

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Values of this step, each of shape ()."""
        self._means.add(values)

    def after_step(
        self, state: TrainingState, stage: Stage, made: Passes, sample: Sample, validation: Sequence[Sample]
    ) -> None:
        """Do what is due after step ``state.step``, the last one included."""
        every, last = self._config.report, state.step == self._config.steps
        self._row_pairs += stage.batch * self._config.accumulate * self._ranks.count
        check = bool(validation) and (last or state.step % every.validate_every == 0)
        if last or state.step % every.metrics_every == 0 or state.step % every.validate_every == 0:
            self._means.add(measure_passes(made, sample))
            self._news = self._row(state, stage) | (validate(state.average, validation) if check else {})
            if self._logbook is not None:
                self._logbook.add_row(state.step, self._news)
                self._warn_of_collapse(state.step)
            self._row_start, self._row_pairs, self._row_waited_s = time.perf_counter(), 0, 0.0
        if self._logbook is not None and (last or state.step % every.pictures_every == 0):
            self._logbook.add_picture(state.step, sample_sheet(made, sample))
        if self._ranks.first and (last or state.step % every.checkpoint_every == 0):
            save_checkpoint(self._folder, state, self._config, processes=self._ranks.count, keep=every.keep)
        if self._progress is not None:
            self._progress(state.step, self._config.steps, self._news)

    def _warn_of_collapse(self, step: int) -> None:
        """Say once if the structure code has become the same for all pictures, when the first half is over."""
        spread, losses = self._news.get("code_spread", 1.0), self._config.losses
        if spread < SMALLEST_SPREAD and step > self._config.steps / 2 and losses.structure and not self._warned:
            self._warned = True
            log.warning(
                "the structure code is almost the same for all pictures (code_spread %.2g, expected above %g), which Eq. 5 "
                "allows; a smaller losses.weights.latent leaves it to the other losses (docs/training.md)",
                spread, SMALLEST_SPREAD,
            )

    def _row(self, state: TrainingState, stage: Stage) -> dict[str, float]:
        """Means of all values since the last row, over all processes, and the speed."""
        values = self._means.take(self._ranks)
        # Reading the means waited for the device: only now the clock tells how long the steps took.
        now = time.perf_counter()
        seconds = max(now - self._row_start, 1e-9)
        return {
            "size": stage.size, "pairs": state.pairs * self._ranks.count, "hours": (now - self._start) / 3600,
            "pairs_per_s": self._row_pairs / seconds, "waiting": self._row_waited_s / seconds, **values,
        }
