"""What several files of tests of jobs start from; made anew for each of them."""

import multiprocessing

import pytest
from shard_builds import IMAGESETS
from small_shards import write_small_set
from small_take import write_take
from take_runs import run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two takes, a bank, and a set that every other way of making it must equal."""
    folder = tmp_path_factory.mktemp("build")
    write_small_set(folder, 2, IMAGESETS, bake=2)
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of a small stage, with its rig and schedule."""
    return write_take(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def take_path(recorded):
    """The take that every other way of making it must equal."""
    run(recorded, recorded / "take.olat.h5")
    return recorded / "take.olat.h5"


@pytest.fixture(scope="module")
def server():
    """Starts processes in milliseconds: children of a process that has everything imported and no threads."""
    context = multiprocessing.get_context("forkserver")
    modules = ["olatkit.jobs.ingest", "olatkit.jobs.import_photographs", "h5py", "hdf5plugin", "dask", "cv2"]
    context.set_forkserver_preload(modules)
    return context
