"""Dask clusters beyond this machine: workers started through SLURM, and where to watch them."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olatkit.errors import ConfigError
from olatkit.jobs.schedulers import connect, dashboard_of, quiet_dask

CLUSTERS = ("slurm",)


@contextmanager
def open_cluster(kind: str, workers: int, options: Mapping[str, object]) -> Iterator[str]:
    """Ask a queue for workers and give the address of a scheduler on this machine; all end with the block.

    Parameters
    ----------
    kind : {'slurm'}
        The queue.
    workers : int
        Worker processes to ask for; the build begins with the first one that comes.
    options : mapping
        Arguments of ``dask_jobqueue.SLURMCluster``, such as cores, memory, queue, account, walltime.

    Raises
    ------
    ConfigError
        Unknown kind, dask-jobqueue is missing, it refuses the options, or the queue refuses the job.
    """
    if kind not in CLUSTERS:
        raise ConfigError(f"cluster {kind!r} is unknown, expected one of {', '.join(CLUSTERS)}")
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise ConfigError("a SLURM cluster needs dask-jobqueue: pip install 'olatkit[slurm]'") from error
    given: dict[str, Any] = {"cores": 1, "processes": 1, "memory": "8GB", **options}
    with quiet_dask():
        try:
            cluster = SLURMCluster(silence_logs=logging.ERROR, **given)
        except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
            raise ConfigError(f"SLURM cluster with {dict(given)}: {' '.join(str(error).split())}") from error
        with cluster:
            cluster.scale(workers)
            try:
                cluster.sync(_hand_in, cluster)
            except (ValueError, OSError, RuntimeError) as error:
                raise ConfigError(
                    f"SLURM does not take the workers' job: {' '.join(str(error).split())}; run this where sbatch works, "
                    "with the --cluster-opt that your queue wants"
                ) from error
            yield cluster.scheduler_address


async def _hand_in(cluster: Any) -> None:
    """Wait until the queue has every job. One that it refused is handed in once more, which raises its reason."""
    from distributed.core import Status

    jobs = cluster.workers
    try:
        await cluster
        await asyncio.gather(*jobs.values())
    except BaseException:
        for job in jobs.values():  # a cluster does not close while it has jobs that are neither in nor out
            if job.status == Status.created:
                job.status = Status.failed
        raise


def dashboard_link(scheduler: str) -> str | None:
    """Address of the page on which a running Dask scheduler shows its work; None for local ones.

    Raises
    ------
    ConfigError
        No scheduler answers at the address.
    """
    if "://" not in scheduler and not Path(scheduler).is_file():
        return None
    with quiet_dask(), connect(scheduler, 1) as client:
        return dashboard_of(client)
