"""One process of a training that test_distributed starts: python two_processes.py FOLDER SETTINGS.

Trains on painted samples, in double precision if the settings say so, and leaves its weights as FOLDER/weights-R.pt.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from painted_samples import in_double, painted_batches, tiny_config

import olatkit.learn.train as loop
from olatkit.learn.distributed import join_ranks
from olatkit.learn.sample import Sample
from olatkit.learn.schedule import Stage


def main(folder: Path, settings: dict[str, object]) -> None:
    torch.set_num_threads(1)
    double = settings.pop("double", False)
    if double:
        torch.set_default_dtype(torch.float64)
    kept = []
    make_state = loop.make_state
    loop.make_state = lambda *given: kept.append(make_state(*given)) or kept[-1]  # type: ignore[func-returns-value]
    with join_ranks("cpu") as ranks:
        def batches(stage: Stage, pairs: int) -> Iterator[Sample]:
            for sample in painted_batches(stage, pairs, ranks.rank, ranks.count):
                yield in_double(sample) if double else sample

        loop.train(tiny_config(**settings), batches, folder, ranks)
        state = kept[0]
        weights = {"network": state.network.state_dict(), "critic": state.critic and state.critic.state_dict()}
        torch.save(weights, folder / f"weights-{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
