"""The report: one page that stands alone, a verdict that follows the numbers, plots that show what they are given."""

import base64
import re
import tracemalloc
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_take import IMAGESETS, write_take
from synthetic import SphereStage

from olatkit.capture.checks import BEHIND, OVERHEAD, LightLevels, check_take, measure_light, odd_lights, worst
from olatkit.capture.plots import Limit, Series, dome, matrix, nice_ticks, plot
from olatkit.capture.report import HEADLINES, ReportExtras, render_report
from olatkit.errors import OutputExistsError
from olatkit.imageset import INTERPOLATED, LOW_FLOW_CONFIDENCE, ONE_SIDED, SATURATED
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.io.takes import open_take
from olatkit.jobs.ingest import ingest
from olatkit.jobs.report import report_path, simple_sky, write_report
from olatkit.rig import LightRig, default_rig
from olatkit.schedule import grouped_schedule


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small capture ingested with its report."""
    folder = write_take(tmp_path_factory.mktemp("stage"))
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    ingest(*names, folder / "take.olat.h5", scheduler="sync", report=True)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "take.report.html").read_text(encoding="utf-8")


@pytest.fixture
def take(folder):
    """The take, with numbers as good as a report can wish for; tests spoil one at a time."""
    take = open_take(folder / "take.olat.h5")
    n = len(take)
    take.notes |= {
        "phase_score": 0.95, "phase_runner_up": 0.2, "window_scores": [0.9, 0.9], "window_frames": [0, 60],
        "tracking_level": 0.6, "crosstalk": 0.0, "crosstalk_estimate": [0.001, 0.001], "dropped": 0, "bad_frames": [],
        "unrecorded_gaps": [], "skipped_references": [], "ambient_share": None,
    }
    take.stats |= {
        "closure": np.full(n, 0.01), "motion_px": np.full(n, 1.0), "disagreement": np.full(n, 0.001),
        "saturated": np.zeros(n), "beyond_codes": np.zeros(n),
    }
    take.quality[:] = 0
    yield take
    take.close()


def levels_of(stage: SphereStage) -> LightLevels:
    """What every light of a closed-form stage does."""
    mask = stage.surface(0)[2]
    rows = np.array([measure_light(image, mask, np.ones(3)) for image in stage.olat(0)])
    return LightLevels(rows[:, 0], rows[:, 1:3], rows[:, 3])


def test_the_page_stands_alone(text):
    assert text.startswith("<!DOCTYPE html>")
    assert len(text) < 3e6
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_every_plot_is_well_formed_and_has_named_axes(text):
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) >= 10
    for drawn in plots:
        root = ET.fromstring(drawn)
        words = [node.text for node in root.iter() if node.text]
        assert words
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_every_picture_decodes(text):
    pictures = re.findall(r'"data:image/[a-z]+;base64,([^"]*)"', text)
    assert len(pictures) >= 10  # turntable, closure x 3, comparison x 4, sheet, quality map
    for data in pictures:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.size


@pytest.mark.parametrize("title", [
    "Relit", "What was checked", "All lights add up to the fully lit frame", "Motion compensation", "Without compensation",
    "Lights", "Every light", "Quality of every image", "Light over time", "Tracking comb", "Synchronisation", "Settings",
])
def test_sections(text, title):
    assert f">{title}<" in text


def test_titles_are_escaped(take):
    text = render_report(take, title="<b>&take")
    assert "<b>&take" not in text
    assert "&lt;b&gt;&amp;take" in text


def test_a_good_take_is_called_good(take):
    checks = check_take(take)
    assert worst(checks) == "good"
    assert HEADLINES["good"] in render_report(take, title="x")


@pytest.mark.parametrize(("spoil", "name", "level"), [
    ({"phase_score": 0.45}, "Phase", "look"),
    ({"phase_score": 0.9, "phase_runner_up": 0.6}, "Phase", "look"),
    ({"phase_score": float("nan")}, "Phase", "look"),
    ({"window_scores": [0.9, 0.2]}, "Lock over the take", "bad"),
    ({"unrecorded_gaps": [[30, 2]]}, "Lock over the take", "look"),
    ({"bad_frames": [5], "frames": 1000}, "Frames", "look"),
    ({"dropped": 200}, "Frames", "bad"),
    ({"skipped_references": [17]}, "Frames", "bad"),
    ({"tracking_level": 0.1}, "Tracking exposure", "look"),
    ({"tracking_level": 0.01}, "Tracking exposure", "bad"),
    ({"tracking_level": 0.99}, "Tracking exposure", "bad"),
    ({"crosstalk": 0.1}, "Crosstalk", "look"),
    ({"crosstalk_estimate": [0.04, 0.001]}, "Crosstalk", "look"),
    ({"ambient_share": 0.01}, "Ambient light", "look"),
    ({"ambient_share": -0.001}, "Ambient light", "bad"),
    ({"closure": -0.05}, "Closure", "look"),
    ({"closure": 0.3}, "Closure", "bad"),
    ({"saturated": 0.02}, "Saturation", "look"),
    ({"saturated": 0.2}, "Saturation", "bad"),
    ({"beyond_codes": 1e9}, "Stored range", "bad"),
    ({"motion_px": 4.0}, "Motion", "look"),
    ({"disagreement": 0.3}, "Motion tracking", "bad"),
])
def test_one_bad_number_changes_its_check_and_the_verdict(take, spoil, name, level):
    for key, value in spoil.items():
        if key in take.stats:
            take.stats[key][:] = value
        else:
            take.notes[key] = value
    checks = check_take(take)
    assert {c.name: c.level for c in checks if c.level != "good"} == {name: level}
    text = render_report(take, title="x")
    assert HEADLINES[level] in text
    assert f"<b>{name}:</b>" in text


@pytest.mark.parametrize(("bit", "name", "level"), [
    (SATURATED, "Saturation", "bad"), (LOW_FLOW_CONFIDENCE, "Motion tracking", "bad"),
    (INTERPOLATED, "Looks at each light", "bad"), (ONE_SIDED, "Looks at each light", "bad"),
])
def test_flagged_images_change_the_verdict(take, bit, name, level):
    take.quality[:] = bit
    assert {c.name: c.level for c in check_take(take) if c.level != "good"} == {name: level}


def test_one_sided_images_at_the_ends_are_expected(take):
    take.quality[[0, -1]] = ONE_SIDED
    assert worst(check_take(take)) == "good"


def test_swapped_lights_are_found_and_named():
    rig = default_rig(114)
    levels = levels_of(SphereStage(rig, None))
    _, up, front = rig.directions.T
    judged = np.flatnonzero((levels.mean > 0.1 * levels.mean.max()) & (front > BEHIND) & (up < OVERHEAD))
    assert not odd_lights(_take_like(rig), levels)
    # The two judged lights that stand furthest apart.
    cosine = rig.directions[judged] @ rig.directions[judged].T
    a, b = (int(judged[i]) for i in np.unravel_index(cosine.argmin(), cosine.shape))
    order = np.arange(114)
    order[[a, b]] = b, a
    swapped = LightLevels(levels.mean[order], levels.centroid[order], levels.saturated[order])
    found = odd_lights(_take_like(rig), swapped)
    assert set(found) == {a, b}
    near = rig.directions[[found[a], found[b]]] @ rig.directions[[b, a]].T
    assert np.diag(near).min() > np.cos(np.radians(40))


def test_few_lights_are_not_judged_by_their_places():
    rig = default_rig(12)
    levels = levels_of(SphereStage(rig, None))
    assert odd_lights(_take_like(rig), LightLevels(levels.mean[::-1], levels.centroid, levels.saturated)) == {}


def test_a_light_that_failed_is_named(take):
    levels = levels_of(SphereStage(take.rig, None))
    lamp = int(np.argmax(levels.mean))
    assert worst(check_take(take, levels)) == "good"
    levels.mean[lamp] = 0
    failed = next(c for c in check_take(take, levels) if c.name == "Dark though enabled")
    assert failed.level == "bad"
    assert failed.found == f"1: {lamp}"


def test_dead_lights_are_named_and_not_called_failed(take):
    rig = take.rig
    enabled = np.ones(len(rig), bool)
    enabled[3] = False
    take.rig = LightRig(rig.name, rig.directions, rig.positions, rig.gains, enabled)
    levels = levels_of(SphereStage(take.rig, None))
    found = {c.name: (c.level, c.found) for c in check_take(take, levels)}
    assert found["Dead lights"] == ("look", "1 of 18: 3")
    assert found["Dark though enabled"][0] == "good"


def test_measured_centre_is_where_the_light_is():
    rgb = np.zeros((20, 30, 3), np.float32)
    rgb[2, 25] = 0.5
    mean, x, y, saturated = measure_light(rgb, np.ones((20, 30), bool), np.ones(3))
    assert mean == pytest.approx(0.5 / 600)
    assert x == pytest.approx((25 - 14.5) / 14.5)
    assert y == pytest.approx((9.5 - 2) / 14.5)
    assert saturated == 0
    # The sensor saw gain times what is stored.
    assert measure_light(rgb, np.ones((20, 30), bool), np.full(3, 2.0))[3] == pytest.approx(1 / 600)


def test_imported_photographs_without_schedule(tmp_path):
    path = _write_import(tmp_path, count=1)
    text = write_report(path).read_text(encoding="utf-8")
    assert "Relit" in text
    assert "Every light" in text
    assert "Synchronisation" not in text
    assert "Motion of the subject" not in text
    assert HEADLINES["good"] in text


def test_a_report_is_not_overwritten_unasked(tmp_path):
    path = _write_import(tmp_path, count=1)
    report_path(path).write_text("mine")
    with pytest.raises(OutputExistsError, match=r"take\.report\.html: already exists"):
        write_report(path)
    assert report_path(path).read_text() == "mine"
    assert write_report(path, overwrite=True).stat().st_size > 1000
    assert {p.name for p in tmp_path.iterdir()} == {"take.olat.h5", "take.report.html", "0.h5"}


@pytest.mark.slow
def test_a_report_holds_one_light_at_a_time(tmp_path):
    """All lights of an imageset at full frame would be gigabytes."""
    path = _write_import(tmp_path, count=1, enlarged=12)
    write_report(path)
    tracemalloc.start()
    write_report(path, overwrite=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    imageset = 4 * open_take(path)[0].radiance.size
    assert peak < 0.7 * imageset


def test_a_report_in_the_way_stops_an_ingest_before_it_starts(folder, tmp_path):
    out = tmp_path / "take.olat.h5"
    report_path(out).write_text("mine")
    names = (folder / name for name in ("take.cine", "rig.json", "schedule.json"))
    with pytest.raises(OutputExistsError, match=r"take\.report\.html"):
        ingest(*names, out, scheduler="sync", report=True)
    assert not out.exists()


def test_the_report_of_a_take_shows_all_imagesets(text):
    assert f"<b>{IMAGESETS} at 100 per s</b>" in text


def test_quality_map_paints_the_flagged_cell(take):
    take.quality[2, 5] = INTERPOLATED
    text = render_report(take, title="x")
    data = re.search(r'href="data:image/png;base64,([^"]*)"', text)[1]
    cells = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[::-1, :, ::-1]
    assert cells.shape == (*take.quality.shape, 3)
    red = (cells == (0xC6, 0x28, 0x28)).all(axis=2)
    assert [tuple(map(int, p)) for p in np.argwhere(red)] == [(2, 5)]


def test_extras_may_all_be_missing(take):
    text = render_report(take, title="x", extras=ReportExtras())
    assert "<img" not in text
    assert "Closure: sum of lights" in text


def test_dome_puts_lights_where_they_stand():
    directions = np.array([[0, 0, 1], [1, 0, 1e-9], [0, 1, -1e-9], [0, 0, -1.0]])
    drawn = dome(directions, np.ones(4), enabled=np.ones(4, bool))
    texts = [n for n in ET.fromstring(drawn) if n.tag.endswith("text")]
    places = {n.text: np.array([float(n.get("x")), float(n.get("y"))]) for n in reversed(texts)}  # the scale comes last
    front, right, up, back = (places[str(i)] for i in range(4))
    assert right[0] - front[0] == pytest.approx(190, abs=0.1)
    assert right[1] == pytest.approx(front[1], abs=0.1)
    assert back[1] - up[1] == pytest.approx(190, abs=0.1)
    assert back[0] > front[0] + 380


def test_plot_leaves_out_what_is_not_finite_and_accepts_nothing():
    drawn = plot([Series([0, 1, 2], [1, np.nan, 3])], x_label="x", y_label="y", limits=[Limit(5, "top")])
    assert drawn.count("<circle") == 2
    assert "nan" not in drawn
    assert "no values" in plot([Series([], [])], x_label="x", y_label="y")
    assert plot([Series([1], [2])], x_label="x", y_label="y").count("<circle") == 1


def test_matrix_has_row_zero_at_the_bottom():
    colors = np.zeros((2, 3, 3), np.uint8)
    colors[0] = 255
    data = re.search(r"base64,([^\"]*)", matrix(colors, x_label="x", y_label="y"))[1]
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image[1].min() == 255
    assert image[0].max() == 0


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.booleans())
def test_ticks_are_round_and_inside(low, width, whole):
    ticks = nice_ticks(low, low + width, whole=whole)
    assert len(ticks) <= 8
    slack = 1e-6 * (abs(low) + width)
    assert ((ticks >= low - slack) & (ticks <= low + width + slack)).all()
    if len(ticks) > 1:
        mantissa = f"{ticks[1] - ticks[0]:.3e}"[:5]
        assert mantissa in ("1.000", "2.000", "5.000") or (ticks[1] - ticks[0]) < 1e-6 * np.abs(ticks).max()
        if whole:
            np.testing.assert_allclose(ticks, np.round(ticks))


def test_the_simple_sky_has_a_warm_sun_in_front_on_the_right():
    sky = simple_sky()
    x, y, z = 0.63, 0.57, 0.53
    sun = sky.look_up(np.array([x, y, z]))
    assert sun[0] > 1.3 * sun[2]
    assert sun.mean() > 10 * sky.look_up(np.array([-x, y, z])).mean()


class _Rigged:
    """A take of which only the rig matters."""

    def __init__(self, rig: LightRig) -> None:
        self.rig = rig


def _take_like(rig):
    return _Rigged(rig)


def _write_import(folder, count, enlarged=1):
    """A take as an import of photographs leaves it: no schedule, no statistics; every pixel ``enlarged`` times."""
    rig = default_rig(18)
    stage = SphereStage(rig, grouped_schedule(range(18), group=9, tracking_gain=0.1, stride=10))
    olat = stage.olat(0).astype(np.float32).repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    size = olat.shape[1:3]
    header = TakeHeader(rig, None, size, (0, 0, *size), 25.0, "float32", "none", {"olatkit": "1"})
    parts = [folder / f"{i}.h5" for i in range(count)]
    for i, part in enumerate(parts):
        rows = ImagesetRows(
            olat.sum(0), np.zeros(18, np.uint8), np.zeros((18, 2), np.int32), np.ones(18, np.float32), i, i, i / 25, {}
        )
        write_part(part, olat, rows, header, "digest")
    merge_parts(parts, folder / "take.olat.h5", replace(header))
    return folder / "take.olat.h5"
