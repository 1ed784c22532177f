"""Run many small tasks on this machine or on a Dask cluster; a task is a function of a few names and numbers."""

import importlib.metadata
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from olatkit.errors import ConfigError, OlatkitError

Progress = Callable[[int, int], None]
LOCAL = ("sync", "threads", "processes")
ANSWER_S = 15  # until a running scheduler has answered


def default_workers() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def task_path(path: str | os.PathLike[str], scheduler: str) -> Path:
    """A path as a task gets it: as the user gave it, or whole for a cluster, whose workers have other working folders."""
    return Path(path) if scheduler in LOCAL else Path(path).resolve()


def as_given(text: str, given: Iterable[str | os.PathLike[str]]) -> str:
    """What a cluster's worker said, with files named as the user named them instead of whole."""
    names = {str(Path(path).resolve()): str(path) for path in given}
    if not names:
        return text
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])(?:{longest_first})(?![\w-])", lambda found: names[found[0]], text)


def run_tasks(
    function: Callable[..., Any],
    tasks: Sequence[tuple],
    *,
    scheduler: str = "threads",
    workers: int | None = None,
    weights: Sequence[int] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
    given: Sequence[str | os.PathLike[str]] = (),
) -> list[Any]:
    """Call ``function(*task)`` for every task and return the results in order.

    Parameters
    ----------
    function : callable
        A module-level function (so that it can be sent to another process).
    tasks : sequence of tuples
        Arguments: paths and indices, never pixels.
    scheduler : str
        'sync', 'threads', 'processes', 'tcp://host:port' of a Dask scheduler, or the path of a scheduler file.
    workers : int, optional
        Workers at once; one per core if None. A running cluster brings its own.
    weights : sequence of int, optional
        How much every task counts for progress; 1 each if None.
    progress : callable (done, total), optional
        Told after every task.
    say : callable (str), optional
        Told the address of the dashboard of 'processes', if it has one.
    given : sequence of paths, optional
        Files as the user named them; errors on a cluster, whose tasks have :func:`task_path`, are told with these names.

    Raises
    ------
    ConfigError
        Unknown scheduler, or no scheduler answers at the address.
    OlatkitError
        Workers or scheduler were lost before the work was done.
    """
    count = list(weights) if weights is not None else [1] * len(tasks)
    total, done = sum(count), 0

    def tell(i: int) -> None:
        nonlocal done
        done += count[i]
        if progress is not None:
            progress(done, total)

    if progress is not None:
        progress(0, total)
    if not tasks:
        return []
    if scheduler == "sync":
        results = []
        for i, task in enumerate(tasks):
            results.append(function(*task))
            tell(i)
        return results
    if scheduler == "threads":
        return _run_threads(function, tasks, workers or default_workers(), tell)
    if scheduler == "processes" or "://" in scheduler or Path(scheduler).is_file():
        try:
            return _run_distributed(function, tasks, scheduler, workers or default_workers(), tell, say)
        except (OlatkitError, OSError) as error:
            error.args = tuple(as_given(part, given) if isinstance(part, str) else part for part in error.args)
            if isinstance(error, OSError) and isinstance(error.filename, str):
                error.filename = as_given(error.filename, given)
            raise
    raise ConfigError(
        f"scheduler {scheduler!r} is unknown, expected sync, threads, processes, tcp://host:port or a scheduler file"
    )


def _run_threads(
    function: Callable[..., Any], tasks: Sequence[tuple], workers: int, tell: Callable[[int], None]
) -> list:
    """Dask's threaded scheduler; kernels release the lock, and OpenCV is told not to start threads of its own."""
    import cv2
    import dask
    from dask.callbacks import Callback

    keys: dict[Any, int] = {}
    nodes = []
    for i, task in enumerate(tasks):
        # Dask takes the last key first. In order, neighbours run together and share what they read.
        node = dask.delayed(function, pure=False)(*task, dask_key_name=f"task-{len(tasks) - i:08d}")
        keys[node.key] = i
        nodes.append(node)

    class _Tell(Callback):
        def _posttask(self, key: Any, _result: Any, _dsk: Any, _state: Any, _id: Any) -> None:
            if key in keys:
                tell(keys[key])

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1 if workers > 1 else threads)
    try:
        with _Tell():
            return list(dask.compute(*nodes, scheduler="threads", num_workers=workers, optimize_graph=False))
    finally:
        cv2.setNumThreads(threads)


def _run_distributed(
    function: Callable[..., Any],
    tasks: Sequence[tuple],
    scheduler: str,
    workers: int,
    tell: Callable[[int], None],
    say: Callable[[str], object] | None,
) -> list:
    """Dask distributed: local processes or a cluster that is already running."""
    with quiet_dask(), connect(scheduler, workers) as client:
        from distributed import as_completed

        link = dashboard_of(client) if say and scheduler == "processes" else None
        if say and link:
            say(f"dashboard: {link}")
        futures = [client.submit(_one_thread, function, *task, pure=False) for task in tasks]
        order = {future.key: i for i, future in enumerate(futures)}
        results: dict[int, Any] = {}
        try:
            for future, result in as_completed(futures, with_results=True):
                # A scheduler that ends takes its tasks along without raising: their results are its last words.
                if future.status != "finished":
                    break
                results[order[future.key]] = result
                tell(order[future.key])
        except Exception as error:
            if type(error).__module__.split(".")[0] != "distributed":
                raise
            raise _lost(scheduler, f" ({type(error).__name__}: {' '.join(str(error).split())})") from error
        if len(results) < len(tasks):
            raise _lost(scheduler)
        return [results[i] for i in range(len(tasks))]


def dashboard_of(client: Any) -> str | None:
    """Address of a scheduler's dashboard; None if it has none, or lacks bokeh, which draws it."""
    if not client.scheduler_info()["services"].get("dashboard"):
        return None
    try:
        client.run_on_scheduler(importlib.metadata.version, "bokeh")
    except importlib.metadata.PackageNotFoundError:
        return None
    return str(client.dashboard_link)


def _lost(scheduler: str, why: str = "") -> OlatkitError:
    """What to say when workers or scheduler end before the work does."""
    return OlatkitError(
        f"the workers at {scheduler} were lost{why}; what is finished is kept, run the same command again to go on"
    )


@contextmanager
def connect(scheduler: str, workers: int) -> Iterator[Any]:
    """A client of new processes on this machine, or of the scheduler at an address or in a file."""
    from distributed import Client, LocalCluster

    if scheduler == "processes":
        # Port 0: whichever is free; the usual one may be another run's.
        with LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        place = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
        client = Client(**place, timeout=ANSWER_S)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler}: {error}; start one with 'dask scheduler'"
        ) from error
    with client:
        yield client


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Keep Dask's own log off the screen, here and in new worker processes: a failed task is told by its exception."""
    import dask
    import distributed  # noqa: F401  sets the level of its log when it is imported, so before ours

    workers = "distributed.nanny.pre-spawn-environ"
    # Dask gives some of them levels of their own, which the level above does not reach.
    names = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with dask.config.set({workers: {**dask.config.get(workers, {}), "DASK_LOGGING__DISTRIBUTED": "critical"}}):
        yield
    # After an error they stay quiet: a client that lost its scheduler goes on to complain from its own thread.
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


def _one_thread(function: Callable[..., Any], *task: Any) -> Any:
    """Run a task with one OpenCV thread: a worker is one core."""
    import cv2

    cv2.setNumThreads(1)
    return function(*task)
