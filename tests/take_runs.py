"""Ingests of a small take, and runs that are killed."""

import os
import resource
import signal
import sys
import time

import olatkit.jobs.ingest as job

NAMES = ("take.cine", "rig.json", "schedule.json")


def run(folder, out, **given):
    return job.ingest(*(folder / name for name in NAMES), out, **{"scheduler": "sync", **given})


def leftovers(out):
    return sorted(p.name for p in out.parent.iterdir() if p.name.startswith(out.name))


def child(server, function, *arguments):
    """How to start a function in a process of its own: gives its number, and what waits for its exit code."""
    def start():
        process = server.Process(target=function, args=arguments)
        process.start()

        def wait():
            process.join()
            return process.exitcode

        return process.pid, wait

    return start


def command_on_a_small_disk(limit, said, words):
    """Run a command line of which no file may grow beyond ``limit`` bytes; its stderr goes to the file ``said``."""
    from olatkit.cli import main as cli

    os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["olatkit", *words]
    cli.main()


def on_a_small_disk(server, limit, said, words):
    """The exit code of :func:`command_on_a_small_disk` in a process of its own, and what it said."""
    process = server.Process(target=command_on_a_small_disk, args=(limit, said, words))
    process.start()
    process.join(timeout=120)
    return process.exitcode, said.read_text()


def strike(start, out, delay):
    """Start a run, let it begin its work, kill it after ``delay`` seconds; True if it was still alive."""
    parts = out.with_name(out.name + ".parts")
    pid, wait = start()
    deadline = time.monotonic() + 60
    while not parts.exists() and not out.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    return wait() == -signal.SIGKILL
