"""``olatkit ingest`` as a user meets it."""

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from small_take import IMAGESETS, PHASE, arguments, small_stage, write_take

from olatkit.cli.ingest import command
from olatkit.io.takes import open_take


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_take(tmp_path_factory.mktemp("stage"))


def call(folder, out, *more):
    return CliRunner().invoke(command, arguments(folder, out, *more)[1:])


def test_ingest_says_what_it_did(folder, tmp_path):
    out = tmp_path / "a.olat.h5"
    result = call(folder, out)
    assert result.exit_code == 0, result.output
    assert f"{out}: {IMAGESETS} imagesets, phase {PHASE} (score 0.9" in result.stdout
    take = open_take(out)
    truth = small_stage().olat(take.times_s[2])
    assert -10 * np.log10(np.square(take[2].radiance - truth).mean() / truth.max() ** 2) > 30


def test_report_is_written_beside_the_take(folder, tmp_path):
    arguments_ = [a for a in arguments(folder, tmp_path / "a.olat.h5")[1:] if a != "--no-report"]
    result = CliRunner().invoke(command, arguments_)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "a.report.html").read_text()
    assert page.lstrip().startswith("<!")
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_start_stop_and_phase(folder, tmp_path):
    result = call(folder, tmp_path / "a.olat.h5", "--start", "20", "--stop", "80", "--phase", "7")
    assert result.exit_code == 0, result.output
    assert open_take(tmp_path / "a.olat.h5").reference_frames.tolist() == [37, 47, 57, 67]


def test_a_given_phase_has_no_score(folder, tmp_path):
    """Phase 20 of a cycle of 20 is phase 0, and the frames say 7."""
    result = call(folder, tmp_path / "a.olat.h5", "--phase", "20")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'a.olat.h5'}: {IMAGESETS} imagesets, phase 0 (given)" in result.stdout


def test_region_is_given_as_x_y_width_height(folder, tmp_path):
    assert call(folder, tmp_path / "a.olat.h5", "--roi", "4,8,32,24").exit_code == 0
    take = open_take(tmp_path / "a.olat.h5")
    assert take.box == (8, 4, 24, 32)
    assert take.shape == (48, 48)
    assert call(folder, tmp_path / "b.olat.h5", "--roi", "full").exit_code == 0
    assert open_take(tmp_path / "b.olat.h5").box == (0, 0, 48, 48)


def test_size_is_width_by_height(folder, tmp_path):
    result = call(folder, tmp_path / "a.olat.h5", "--size", "40x24", "--roi", "full")
    assert result.exit_code == 0, result.output
    assert open_take(tmp_path / "a.olat.h5").shape == (24, 40)


def test_settings_come_from_yaml_and_the_command_line(folder, tmp_path):
    (tmp_path / "c.yaml").write_text("mode: nearest\nmotion:\n  method: none\n")
    result = call(folder, tmp_path / "a.olat.h5", "--config", str(tmp_path / "c.yaml"), "--set", "motion.method=direct")
    assert result.exit_code == 0, result.output
    config = open_take(tmp_path / "a.olat.h5").notes["config"]
    assert (config["mode"], config["motion"]["method"]) == ("nearest", "direct")


def test_storage_options(folder, tmp_path):
    result = call(folder, tmp_path / "a.olat.h5", "--codes", "float16", "--compression", "gzip")
    assert result.exit_code == 0, result.output
    assert open_take(tmp_path / "a.olat.h5").encoding == "float16"


@pytest.mark.parametrize("more", [("--size", "big"), ("--roi", "1,2,3"), ("--codes", "jpeg"), ("--workers", "0")])
def test_wrong_usage_is_exit_code_2(folder, tmp_path, more):
    result = call(folder, tmp_path / "a.olat.h5", *more)
    assert result.exit_code == 2
    assert more[0] in result.output
    assert not list(tmp_path.iterdir())


def test_help_explains_every_option():
    text = CliRunner().invoke(command, ["--help"]).output
    for option in command.params:
        if option.name != "source":
            assert option.opts[-1] in text
            assert option.help


@pytest.mark.slow
def test_the_command_works_from_a_shell(folder, tmp_path):
    out = tmp_path / "a.olat.h5"
    ran = subprocess.run(
        [sys.executable, "-m", "olatkit", *arguments(folder, out)], capture_output=True, text=True, timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "7 imagesets" in ran.stdout
    assert len(open_take(out)) == IMAGESETS
