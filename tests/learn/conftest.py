"""What several files of tests of training start from; made anew for each of them."""

from pathlib import Path

import pytest
from painted_runs import ALONE, held_out, two_stages
from painted_samples import painted_batches
from small_shards import write_small_set

from olatkit.learn.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training in two stages with everything on, gradient accumulation and validation included."""
    folder = tmp_path_factory.mktemp("run")
    train(two_stages(), painted_batches, folder, ALONE, open_validation=held_out)
    return folder


@pytest.fixture(scope="module")
def shard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three takes of 7 imagesets, in shards of 3, one held out; two baked triplets per pair."""
    return write_small_set(tmp_path_factory.mktemp("loader"), 3, 7, bake=2, splits={"test": ["take2"]})
