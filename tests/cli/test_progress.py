"""What a log file and an interrupted user get to read."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from olatkit.cli import main as main_module
from olatkit.cli import options
from olatkit.cli.options import progress_bar
from olatkit.rig import LightRig, default_rig


def test_a_log_file_gets_a_line_for_every_tenth(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(options, "LINE_SECONDS", 0.0)
    with progress_bar("simulate") as progress:
        for done in range(201):
            progress(done, 200)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("simulate: 20 of 200, 0 s gone, 0 s left")
    assert lines[-1].startswith("simulate: 200 of 200")


def test_short_work_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("one", "two") as (one, two):
        for done in range(11):
            one(done, 10)
            two(done, 10)
        one(0, 0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("seconds, text", [(7.4, "7 s"), (125, "2 min 05 s"), (7800, "2 h 10 min")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert options._clock(seconds) == text


def interrupt(options: list[str], after: Path) -> str:
    """What ``olatkit`` with ``options`` says last when it is interrupted as soon as a file is there."""
    command = [sys.executable, "-m", "olatkit", *options]
    # A shell's background jobs ignore interrupts, and so would the child of a test run that is one.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while not after.exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    return said.splitlines()[-1]


@pytest.mark.parametrize(("cause", "code", "said"), [
    (KeyboardInterrupt(), 130, "stopped; run the same command again to go on\n"),
    (None, 1, "olatkit: unexpected SystemError: returned a result with an exception set"),
])
def test_an_interrupted_compiled_function_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cause: BaseException | None, code: int, said: str
) -> None:
    def interrupted() -> None:
        raise SystemError("returned a result with an exception set") from cause

    monkeypatch.setattr(main_module, "load_command", lambda name: click.Command(name, callback=interrupted))
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(sys, "argv", ["olatkit", "render"])
    with pytest.raises(SystemExit) as end:
        main_module.main()
    assert end.value.code == code
    assert capsys.readouterr().err.lstrip().startswith(said)


def test_a_warning_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = default_rig(12)
    close = np.concatenate([rig.directions[:1] + np.array([0, 0.02, 0]), rig.directions])
    close /= np.linalg.norm(close, axis=1, keepdims=True)

    def four_rigs() -> None:
        for name in ("Objects", "Objects", "Objects", "ball"):
            LightRig(name, close)
        for _ in range(2):
            logging.getLogger("olatkit").info("a step")

    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    monkeypatch.setattr(main_module, "load_command", lambda name: click.Command(name, callback=four_rigs))
    lines = CliRunner().invoke(main_module.group, ["-v", "import"]).stderr.splitlines()
    assert [line.partition(": lights")[0] for line in lines] == [
        "WARNING: rig 'Objects'", "WARNING: rig 'ball'", "INFO: a step", "INFO: a step"]


@pytest.mark.slow
def test_an_interrupted_simulation_says_what_is_left(tmp_path: Path) -> None:
    """Nothing is kept of a take that was not whole, so there is nothing to go on with; a set of actors goes on."""
    out = tmp_path / "o"
    simulate = ["simulate", str(out), "--size", "48"]
    last = interrupt([*simulate, "--seconds", "60"], out / "take.cine.part")
    assert last == "stopped; nothing is half-written, finished files stay"
    assert not out.exists()
    last = interrupt([*simulate, "--subjects", "20", "--imagesets", "2"], out / "set.json")
    assert last == "stopped; run the same command again to go on"
    assert (out / "set.json").exists()
