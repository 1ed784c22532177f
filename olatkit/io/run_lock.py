"""Two runs that write the same output must not destroy each other's unfinished parts."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from olatkit.errors import OutputExistsError

LOCK = "run.lock"  # name of the file


@contextmanager
def running_alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other runs out of a folder of unfinished parts for as long as the context lasts.

    A file ``run.lock`` in the folder, created exclusively, names this process and host. One that a killed run of this
    host left is replaced; of a run on another host nobody here can tell whether it lives. At the end the lock goes,
    and the folder too if nothing else is in it, with those above it that were made for it.

    Raises
    ------
    OutputExistsError
        Another run holds the folder.
    """
    folder = Path(folder)
    lock = folder / LOCK
    made = [folder, *(above for above in folder.absolute().parents if not above.exists())]
    pid = os.getpid()
    own = json.dumps({"host": socket.gethostname(), "pid": pid, "started": _started(pid), "turn": os.urandom(4).hex()})
    while not _created(lock, own):
        _clear_stale(lock)
    try:
        yield
    finally:
        if _text(lock) == own:  # the folder may be gone, and even be another run's by now
            lock.unlink(missing_ok=True)
        for empty in made:
            with suppress(OSError):  # not empty, or gone
                empty.rmdir()


def _created(lock: Path, text: str) -> bool:
    """Make the lock, which only one process can; False if there is one."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(lock, "x", encoding="utf-8") as file:
            file.write(text)
    except (FileExistsError, FileNotFoundError):  # the latter if a run has just ended and removed the folder
        return False
    return True


def _clear_stale(lock: Path) -> None:
    """Move the lock of a dead process out of the way; OutputExistsError if it may be alive."""
    text = _text(lock)
    if text is None:
        return
    try:
        holder = json.loads(text)
        host, pid, started = str(holder["host"]), int(holder["pid"]), str(holder["started"])
    except (ValueError, KeyError, TypeError):
        host, pid, started = "an unknown host", 0, ""
    if host != socket.gethostname() or _is_running(pid, started):
        raise OutputExistsError(
            f"{lock.parent}: another run is writing there (process {pid} on {host}); wait for it, choose another "
            f"output, or delete {lock.name} in that folder if that run is dead"
        )
    aside = lock.with_name(f"{lock.name}.stale.{os.getpid()}")
    try:
        os.rename(lock, aside)
        if _text(aside) != text:  # another run was quicker, and this is its fresh lock
            os.rename(aside, lock)
    except FileNotFoundError:
        return
    aside.unlink(missing_ok=True)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _is_running(pid: int, started: str) -> bool:
    """Whether a process of this host is the one that started then, and not a later one with its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) == started


def _started(pid: int) -> str:
    """When a process was started: the boot and its clock ticks since then; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Fields after the name in brackets, which may hold spaces; the 22nd of all is the start.
        return f"{boot} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""
