"""Ingests of a small take, and runs that are killed."""

import os
import signal
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
