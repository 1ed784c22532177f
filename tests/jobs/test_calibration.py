"""Calibration recordings of a camera whose defects are known, from files to corrected takes."""

import json
import shutil

import cv2
import numpy as np
import pytest
from small_take import BLACK, WHITE, write_take

from olatkit.capture.chart import chart_reference
from olatkit.capture.checks import check_take
from olatkit.capture.config import IngestConfig
from olatkit.errors import CaptureError, ConfigError, FormatError
from olatkit.io.cine_writer import write_cine
from olatkit.io.describe import describe
from olatkit.io.sources import ArrayStream, open_stream
from olatkit.io.takes import open_take
from olatkit.jobs.calibration import read_calibration, read_linearity
from olatkit.jobs.ingest import ingest

SPAN = WHITE - BLACK
FULL_WELL, READ_NOISE = 20000.0, 25.0
SIZE = 96


def record(path, light, count=16, seed=0, curve=None):
    """Frames of a still mosaic of light (H, W), 1 = full scale, with photon and read noise; 12 bits."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(np.broadcast_to(light, (count, *light.shape)) * FULL_WELL)
    seen = (electrons + rng.normal(0, READ_NOISE, electrons.shape)) / FULL_WELL
    seen = seen if curve is None else curve(seen)
    raw = np.clip(np.round(BLACK + SPAN * seen), 0, WHITE).astype(np.uint16)
    write_cine(
        path, raw, frame_rate_hz=1000.0, bayer="gbrg", packing="p12l", bits=12, black_level=BLACK, white_level=WHITE
    )
    return path


def shading(size=SIZE):
    y = np.linspace(-1, 1, size)
    return 1 - 0.25 * (y[:, None] ** 2 + y[None] ** 2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Dark and flat recordings; a pixel at (20, 31) that sees a third of the light."""
    folder = tmp_path_factory.mktemp("camera")
    flat = 0.6 * shading()
    flat[20, 31] /= 3
    return record(folder / "dark.cine", np.zeros((SIZE, SIZE))), record(folder / "flat.cine", flat, seed=1)


def test_noise_of_the_sensor_from_dark_and_flat(recordings):
    """Within 3 %: 8 differences of 9,216 pixels know a variance to 0.5 %, and the slope from two of them."""
    dark, flat = recordings
    found = read_calibration(open_stream(flat), dark=dark, flat=flat)
    assert found.full_well_e == pytest.approx(FULL_WELL, rel=0.03)
    assert found.read_noise_e == pytest.approx(READ_NOISE, rel=0.03)
    assert read_calibration(open_stream(flat), dark=dark).full_well_e is None


def test_a_pixel_that_stays_dark_in_the_flat_field_is_bad(recordings):
    dark, flat = recordings
    np.testing.assert_array_equal(np.argwhere(read_calibration(open_stream(flat), flat=flat).bad), [[20, 31]])
    np.testing.assert_array_equal(np.argwhere(read_calibration(open_stream(flat), dark=dark, flat=flat).bad), [[20, 31]])
    assert not read_calibration(open_stream(flat), dark=dark).bad.any()


def test_recordings_that_do_not_tell_the_noise_only_warn(recordings, tmp_path, caplog):
    dark, flat = recordings
    still = record(tmp_path / "flat.cine", 0.5 * shading(), count=1)
    assert read_calibration(open_stream(flat), dark=dark, flat=still).full_well_e is None
    assert "need two frames" in caplog.text
    caplog.clear()
    bright = record(tmp_path / "bright.cine", np.full((SIZE, SIZE), 1.5))
    assert read_calibration(open_stream(flat), dark=dark, flat=bright).full_well_e is None
    assert "1000 unsaturated pixels" in caplog.text


def test_lens_shading_is_not_fitted_to_shielded_columns(tmp_path):
    light = 0.6 * shading()
    light[:, :16] = 0
    flat = record(tmp_path / "flat.cine", light)
    found = read_calibration(open_stream(flat), flat=flat, shielded=(0, 16)).flat
    want = shading()[:, 20:]
    np.testing.assert_allclose(found[:, 20:], want / want.mean(), rtol=0.01)
    with pytest.raises(CaptureError, match="lens shading at row"):
        read_calibration(open_stream(flat), flat=flat)


# ---------------------------------------------------------------- response curve

def level_stream():
    return ArrayStream(np.zeros((1, 4, 4), np.uint16), 1000.0, black_level=BLACK, white_level=WHITE)


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def test_ramp_and_table_give_the_same_curve(tmp_path):
    """A sensor that records light to the power of 0.8; straight lines between 60 entries are 1e-4 off."""
    exposures = np.linspace(0.01, 0.95, 60)
    ramp = {"exposures": (7 * exposures).tolist(), "levels": (SPAN * exposures**0.8).tolist()}
    table = {"table": (3 * np.linspace(0, 1, 400) ** 1.25).tolist()}
    want = (np.arange(SPAN + 1) / SPAN) ** 1.25
    for name, document in (("ramp", ramp), ("table", table)):
        found = read_linearity(write(tmp_path / f"{name}.json", document), level_stream())
        assert found.shape == (SPAN + 1,)
        assert found[-1] == pytest.approx(1)
        np.testing.assert_allclose(found, want, atol=4e-3 if name == "ramp" else 1e-4)


@pytest.mark.parametrize("document, message", [
    ({"levels": [1, 2, 3]}, "holds levels, expected three or more levels and their exposures, or a table"),
    ({"levels": [1, 2, 3], "exposures": [1, 2]}, "3 levels and 2 exposures"),
    ({"table": [0, 2, 1]}, "the table does not rise everywhere"),
    ({"table": [0, "x"]}, "expected lists of numbers"),
    ({}, "holds none of them"),
    ([], "holds a list, expected the response of a sensor"),
])
def test_files_that_hold_no_curve(tmp_path, document, message):
    with pytest.raises(FormatError, match=message):
        read_linearity(write(tmp_path / "curve.json", document), level_stream())
    with pytest.raises(FormatError, match=r"absent\.json"):
        read_linearity(tmp_path / "absent.json", level_stream())


def test_a_curved_sensor_gives_the_take_of_a_straight_one(tmp_path):
    """Codes of a square-root sensor, undone by --linearity: the same radiance but for rounding of 12-bit values."""
    straight, curved = tmp_path / "straight", tmp_path / "curved"
    straight.mkdir()
    write_take(straight)
    shutil.copytree(straight, curved)
    stream = open_stream(straight / "take.cine")
    light = np.maximum(stream.read(0, len(stream)).astype(float) - BLACK, 0) / SPAN
    write_cine(
        curved / "take.cine", np.round(BLACK + SPAN * np.sqrt(light)).astype(np.uint16), overwrite=True,
        frame_rate_hz=1000.0, bayer="gbrg", packing="p12l", bits=12, black_level=BLACK, white_level=WHITE,
    )
    curve = write(tmp_path / "curve.json", {"table": (np.linspace(0, 1, 2000) ** 2).tolist()})
    names = ("take.cine", "rig.json", "schedule.json")
    for folder, given in ((straight, {}), (curved, {"linearity": curve})):
        ingest(*(folder / n for n in names), folder / "o.olat.h5", scheduler="sync", box="full", **given)
    a, b = (open_take(folder / "o.olat.h5")[2].radiance for folder in (straight, curved))
    assert np.abs(a - b).max() < 0.01
    assert np.abs(a - b).mean() < 3e-4


# ---------------------------------------------------------------- in the take

def chart_frame(size=240):
    """A mosaic of a ColorChecker under a camera with mixed colours, and the corners of its patches."""
    camera = np.array([[0.55, 0.30, 0.10], [0.22, 0.70, 0.12], [0.05, 0.30, 0.60]])
    picture = np.full((size, size, 3), 0.02)
    for n, color in enumerate(chart_reference() @ camera.T):
        y, x = divmod(n, 6)
        picture[40 + 36 * y : 72 + 36 * y, 12 + 36 * x : 44 + 36 * x] = color
    corners = np.array([(12, 40), (223, 40), (223, 179), (12, 179)], float)
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.6)
    out = blurred[..., 1].copy()
    out[::2, 1::2], out[1::2, ::2] = blurred[::2, 1::2, 2], blurred[1::2, ::2, 0]
    return 0.9 * out, corners


def test_report_and_info_tell_what_was_measured(tmp_path):
    folder = write_take(tmp_path)
    size = 48
    dark = record(tmp_path / "dark.cine", np.zeros((size, size)))
    flat = record(tmp_path / "flat.cine", np.full((size, size), 0.5), seed=1)
    chart, corners = chart_frame()
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    ingest(
        *names, folder / "o.olat.h5", scheduler="sync", dark=dark, flat=flat,
        color=record(tmp_path / "chart.cine", chart, count=1), color_corners=corners,
    )
    with open_take(folder / "o.olat.h5") as take:
        config, checks = take.notes["config"], {check.name: check for check in check_take(take)}
    assert config["full_well_e"] == pytest.approx(FULL_WELL, rel=0.1)
    assert config["read_noise_e"] == pytest.approx(READ_NOISE, rel=0.1)
    assert "e⁻ at full scale" in checks["Sensor noise"].found
    assert (checks["Sensor noise"].level, checks["Colour"].level) == ("good", "good")
    facts = {fact.key: fact.value for fact in describe(folder / "o.olat.h5").facts}
    assert facts["noise_e"] == [config["full_well_e"], config["read_noise_e"]]
    assert facts["color_error"][0] < 3


def test_noise_that_the_user_sets_wins(tmp_path):
    folder = write_take(tmp_path)
    dark = record(tmp_path / "dark.cine", np.zeros((48, 48)))
    flat = record(tmp_path / "flat.cine", np.full((48, 48), 0.5), seed=1)
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    config = IngestConfig(full_well_e=12345)
    ingest(*names, folder / "o.olat.h5", scheduler="sync", dark=dark, flat=flat, config=config)
    with open_take(folder / "o.olat.h5") as take:
        assert take.notes["config"]["full_well_e"] == 12345
        assert take.notes["config"]["read_noise_e"] == pytest.approx(READ_NOISE, rel=0.1)


def test_shielded_columns_outside_of_the_frame(tmp_path):
    folder = write_take(tmp_path)
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    with pytest.raises(ConfigError, match=r"optical_black is columns \[40, 60\], the stream has 0 to 48"):
        ingest(*names, folder / "o.olat.h5", scheduler="sync", config=IngestConfig(optical_black=(40, 60)))
