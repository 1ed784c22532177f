"""Laws of a user's mesh on the stage: linear light, shadows by ray tracing, exact flow; and what cannot be used."""

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.ndimage import map_coordinates

from olatkit.cli.simulate import command
from olatkit.errors import ConfigError, FormatError
from olatkit.geometry import fibonacci_directions
from olatkit.io.cine import CineStream
from olatkit.io.describe import describe
from olatkit.io.truth import read_truth
from olatkit.jobs.simulate import simulate
from olatkit.rig import default_rig
from olatkit.schedule import grouped_schedule
from olatkit.simulate import raytrace
from olatkit.simulate.mesh import MeshSubject
from olatkit.simulate.ray_origins import height_above
from olatkit.simulate.raytrace import FAST, PLAIN, ShadowTracer, choose_variant
from olatkit.simulate.stage import Stage

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIGHTS = fibonacci_directions(7)
SIZE = (72, 64)


def write_ball(path: Path, *, rows: int = 24, turns: float = 1.0, order: int = 1) -> Path:
    """A sphere as OBJ with a seam; ``turns`` stretches its texture coordinates, ``order`` -1 turns it inside out."""
    theta, phi = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(-np.pi, np.pi, 2 * rows), indexing="ij")
    points = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1).reshape(-1, 3)
    uv = np.stack([turns * (phi / np.pi + 1) / 2, 1 - theta / np.pi], -1).reshape(-1, 2)
    columns = 2 * rows
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in points * 120] + [f"vt {u:.9g} {v:.9g}" for u, v in uv]
    for i in range(rows - 1):
        for j in range(columns - 1):
            a = i * columns + j + 1
            ring = [a, a + columns, a + columns + 1, a + 1][::order]
            lines.append("f " + " ".join(f"{k}/{k}" for k in ring))
    path.write_text("\n".join(lines))
    return path


def write_texture(path: Path) -> Path:
    """Smooth colours that tell every place from every other."""
    u, v = np.meshgrid(np.linspace(0, 1, 256), np.linspace(0, 1, 128))
    red, green = 120 + 80 * np.sin(2 * np.pi * 3 * u), 120 + 80 * np.sin(np.pi * 5 * v)
    cv2.imwrite(str(path), np.stack([60 + 60 * v, green, red], -1).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    write_ball(folder / "ball.obj")
    write_texture(folder / "colour.png")
    return folder


@pytest.fixture(scope="module")
def ball(folder: Path) -> MeshSubject:
    pytest.importorskip("mitsuba")
    return MeshSubject(folder / "ball.obj", SIZE, texture=folder / "colour.png", speed_px=80.0)


# ---------------------------------------------------------------- without Mitsuba

def test_without_mitsuba_the_command_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(ConfigError, match=r"Mitsuba 3, which is not installed; run pip install 'olatkit\[sim\]'"):
        MeshSubject(folder / "ball.obj", SIZE)


@pytest.fixture
def no_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that goes wrong before the first ray needs no ray tracer."""
    monkeypatch.setattr("olatkit.simulate.mesh.import_mitsuba", lambda: None)


@pytest.mark.usefixtures("no_tracer")
def test_a_texture_needs_texture_coordinates(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "bare.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(FormatError, match=r"bare.obj: no texture coordinates.*unwrap the mesh"):
        MeshSubject(tmp_path / "bare.obj", SIZE, texture=folder / "colour.png")


@pytest.mark.usefixtures("no_tracer")
def test_without_a_picture_there_is_nothing_to_flip(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"ball.obj: has no picture to turn upside down; leave --flip-texture out"):
        MeshSubject(folder / "ball.obj", SIZE, flip_texture=True)


@pytest.mark.usefixtures("no_tracer")
def test_tiled_textures_are_refused(tmp_path: Path, folder: Path) -> None:
    path = write_ball(tmp_path / "ball.obj", turns=3)
    with pytest.raises(FormatError, match=r"texture coordinates run from 0 to 3, expected 0 to 1"):
        MeshSubject(path, SIZE, texture=folder / "colour.png")


@pytest.mark.usefixtures("no_tracer")
def test_numbers_out_of_range_are_refused(folder: Path) -> None:
    for options, message in (
        ({"speed_px": -1.0}, "speed_px is -1"), ({"zoom": 0.0}, "zoom 0"), ({"roughness": 0.0}, "roughness 0"),
        ({"speed_px": float("nan")}, "speed_px is nan"),
    ):
        with pytest.raises(ConfigError, match=message):
            MeshSubject(folder / "ball.obj", SIZE, **options)


@pytest.mark.parametrize("outcome", ["crash", "late", "missing"])
def test_a_broken_llvm_is_found_out_in_a_child_process(monkeypatch: pytest.MonkeyPatch, outcome: str) -> None:
    def run(*_args: object, **_options: object) -> subprocess.CompletedProcess:
        if outcome == "late":
            raise subprocess.TimeoutExpired("python", 1)
        if outcome == "missing":
            raise FileNotFoundError
        return subprocess.CompletedProcess([], -6)

    monkeypatch.setattr(raytrace.subprocess, "run", run)
    choose_variant.cache_clear()
    assert choose_variant() == PLAIN
    choose_variant.cache_clear()


def test_the_command_refuses_half_a_mesh(tmp_path: Path, folder: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "o"), "--texture", str(folder / "colour.png")])
    assert result.exit_code == 2
    assert "--texture needs --mesh" in result.output
    assert "--flip-texture needs --mesh" in CliRunner().invoke(command, [str(tmp_path / "o"), "--flip-texture"]).output
    result = CliRunner().invoke(command, [str(tmp_path / "o"), "--mesh", "x.obj", "--mesh-turn", "1,2"])
    assert result.exit_code == 2
    assert "expected three numbers" in result.output
    assert not (tmp_path / "o").exists()


def test_lifted_points_lie_on_the_sphere_that_a_triangle_approximates() -> None:
    c, s = np.cos(0.1), np.sin(0.1)
    near = np.array([[1, 0, 0], [c, s, 0], [c, 0, s]], np.float32)
    flat = near.mean(0)
    up = np.float32(1)
    lifted = flat + sum(height_above(flat, corner, corner, up) * corner / 3 for corner in near)
    # The facet's middle lies 0.002 under the sphere; the lifted point lies above it by no more than that.
    assert np.linalg.norm(flat) < 0.9985
    assert 1.0 <= np.linalg.norm(lifted) < 1.004
    assert height_above(near[0], near[0], near[0], up) == 0
    # Seen from inside, the facet stands outside its tangent planes and is not lifted.
    assert height_above(flat, near[0], near[0], -up) == 0


# ---------------------------------------------------------------- with it

def test_both_variants_see_the_same(folder: Path) -> None:
    pytest.importorskip("mitsuba")
    if choose_variant() != FAST:
        pytest.skip("LLVM does not work here")
    one, other = (MeshSubject(folder / "ball.obj", SIZE, speed_px=0, variant=v) for v in (FAST, PLAIN))
    images = [s.olat(s.view(0.0), LIGHTS) for s in (one, other)]
    # A grazing ray in a million may round to the other side of an edge.
    assert (np.abs(images[0] - images[1]) > 1e-6).mean() < 1e-3


def test_a_plate_hides_what_lies_under_it() -> None:
    mitsuba = pytest.importorskip("mitsuba")
    before = mitsuba.variant()
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    tracer = ShadowTracer(points, np.array([[0, 1, 2]]), variant=PLAIN)
    origins = np.array([[0.2, 0.2, -1], [0.2, 0.2, 1], [2, 2, -1]], np.float32)
    up = np.tile(np.array([0, 0, 1], np.float32), (3, 1))
    assert tracer.sees(origins, up).tolist() == [False, True, True]
    assert tracer.sees(origins, -up).tolist() == [True, False, True]
    assert tracer.sees(origins[:0], up[:0]).shape == (0,)
    assert before is None or mitsuba.variant() == before


def test_relighting_is_the_weighted_sum_of_single_lights(ball: MeshSubject) -> None:
    view = ball.view(0.3)
    weights = np.random.default_rng(1).uniform(0, 2, (7, 3))
    expected = np.einsum("lhwc,lc->hwc", ball.olat(view, LIGHTS), weights)
    # float32 sums in another order.
    np.testing.assert_allclose(ball.relight(view, LIGHTS, weights), expected, atol=2e-5 * expected.max())


@pytest.mark.parametrize("order", [1, -1])
def test_a_grey_sphere_obeys_lambert(tmp_path: Path, order: int) -> None:
    pytest.importorskip("mitsuba")
    path = write_ball(tmp_path / "ball.obj", rows=40, order=order)
    subject = MeshSubject(path, (96, 96), speed_px=0, gloss=0.0)
    view, normals, whole = subject.view(0.0), subject.normals(0.0), subject.alpha(0.0) == 1
    y, x = np.mgrid[0:96, 0:96]
    radius = 0.43 * 96
    direction = np.stack([(x - 47.5) / radius, (47.5 - y) / radius], -1)
    inner = np.linalg.norm(direction, axis=-1) < 0.85
    # Interpolated normals of facets of 4.5 degrees.
    np.testing.assert_allclose(normals[inner][:, :2], direction[inner], atol=0.01)
    for light in ([0.0, 0.0, 1.0], [0.8, 0.0, 0.6], [0.0, 0.6, -0.8]):
        expected = np.maximum(normals @ np.array(light), 0) * 0.5 / np.pi
        image = subject.olat(view, np.array([light]))[0, ..., 1]
        # A convex body shadows nothing that faces the light: no acne, no dark terminator.
        np.testing.assert_allclose(image[whole & inner], expected[whole & inner], atol=0.004)


_REFERENCE_LIGHTS = [[0.0, 0.0, 1.0], [0.6, 0.48, 0.64], [-0.8, 0.0, 0.6]]
_PICTURES = """
import sys
sys.path.insert(0, {benchmarks!r})
import numpy as np
from mitsuba_reference import MitsubaReference
from olatkit.simulate.mesh import MeshSubject
subject = MeshSubject({folder!r} + "/ball.obj", {size}, texture={folder!r} + "/colour.png", speed_px=0, gloss=0.0)
reference = MitsubaReference(subject, "direct", 64)
np.save({folder!r} + "/reference.npy", [reference.render(np.array(light)) for light in {lights}])
"""


@pytest.mark.slow
def test_mitsubas_own_pictures_are_the_same(folder: Path) -> None:
    """An independent renderer of the same mesh, texture, camera and light, surfaces diffuse."""
    pytest.importorskip("mitsuba")
    if choose_variant() != FAST:
        pytest.skip("LLVM does not work here, and single rays take minutes")
    subject = MeshSubject(folder / "ball.obj", SIZE, texture=folder / "colour.png", speed_px=0, gloss=0.0)
    whole = cv2.erode((subject.alpha(0.0) == 1).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    # Old versions of LLVM trace rays but abort the process on whole pictures, on some processors.
    script = _PICTURES.format(benchmarks=str(BENCHMARKS), folder=str(folder), size=SIZE, lights=_REFERENCE_LIGHTS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == -signal.SIGABRT and "LLVM ERROR" in done.stderr:
        pytest.skip("LLVM here cannot compile Mitsuba's pictures")
    assert done.returncode == 0, done.stderr
    for light, picture in zip(_REFERENCE_LIGHTS, np.load(folder / "reference.npy"), strict=True):
        ours = subject.olat(subject.view(0.0), np.array([light]))[0][whole]
        theirs = picture[whole]
        # Four samples per pixel against 64; rays from facets darken Mitsuba's terminator.
        bright = ours > 0.2 * ours.max()
        np.testing.assert_allclose(ours[bright].mean(0), theirs[bright].mean(0), rtol=0.005)
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.02 * ours.max()


def test_a_nose_casts_a_shadow(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba")
    wall = "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nf 1 2 3 4\n"
    (tmp_path / "wall.obj").write_text(wall + "v 0 -1 0\nv 0 -1 0.5\nv 0 1 0.5\nv 0 1 0\nf 5 6 7 8\n")
    subject = MeshSubject(tmp_path / "wall.obj", (64, 64), speed_px=0, gloss=0.0)
    row = subject.olat(subject.view(0.0), np.array([[1.0, 0.0, 1.0]]) / np.sqrt(2))[0, 32, :, 0]
    half = 0.43 * 64
    # A plate of height 0.5 under 45 degrees: half a unit left of it lies in shadow.
    for unit, lit in ((-0.9, True), (-0.6, True), (-0.4, False), (-0.1, False), (0.1, True), (0.9, True)):
        expected = 0.5 / np.pi / np.sqrt(2) if lit else 0.0
        assert row[round(31.5 + unit * half)] == pytest.approx(expected, abs=1e-5)


def test_labels_alpha_and_normals_agree(ball: MeshSubject) -> None:
    alpha, labels, normals = ball.alpha(0.2), ball.labels(0.2), ball.normals(0.2)
    assert set(np.unique(labels)) == {0, 1}
    assert (labels[alpha == 1] == 1).all()
    assert (labels[alpha == 0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), labels, atol=1e-5)
    assert not ball.olat(ball.view(0.2), LIGHTS)[:, alpha == 0].any()


def test_flow_follows_the_texture(ball: MeshSubject) -> None:
    flow, hidden = ball.flow(0.1, 0.3)
    before, after = _albedo(ball, 0.1), _albedo(ball, 0.3)
    inside = cv2.erode((ball.alpha(0.1) == 1).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    use = inside & ~hidden
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    where = [y + flow[..., 1], x + flow[..., 0]]
    moved = np.stack([map_coordinates(after[..., k], where, order=1) for k in range(3)], -1)
    assert np.linalg.norm(flow[use], axis=-1).mean() > 1
    assert np.abs(moved - before)[use].mean() < 0.15 * np.abs(after - before)[use].mean()


def test_peak_speed_is_as_asked(ball: MeshSubject) -> None:
    times = np.arange(0, 10, 0.1)
    rest = ball._front_points()
    speeds = [
        np.percentile(np.linalg.norm((ball.pose(t + 0.001).apply(rest) - ball.pose(t - 0.001).apply(rest))[:, :2],
                                     axis=1), 95) / 0.002 / ball.pitch_m
        for t in times
    ]
    assert max(speeds) == pytest.approx(80, rel=0.05)  # sampled times and the nonlinear rotation


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.usefixtures("ball")
def test_the_texture_stands_upright(folder: Path, tmp_path: Path, flip: bool) -> None:
    picture = cv2.imread(str(folder / "colour.png"))
    cv2.imwrite(str(tmp_path / "c.png"), picture[::-1] if flip else picture)
    still = MeshSubject(folder / "ball.obj", SIZE, texture=tmp_path / "c.png", flip_texture=flip, speed_px=0)
    albedo, stored = _albedo(still, 0.0), picture[..., ::-1] / 255.0
    linear = np.where(stored > 0.04045, ((stored + 0.055) / 1.055) ** 2.4, stored / 12.92)
    for row, column in ((36, 32), (20, 40), (50, 25)):
        # Half a pixel of the texture's own slope.
        x, y = (column - 31.5) / (0.43 * 64), (35.5 - row) / (0.43 * 64)
        theta, phi = np.arccos(y), np.arctan2(x, np.sqrt(1 - x * x - y * y))
        expected = linear[round(theta / np.pi * 128 - 0.5), round((phi / np.pi + 1) / 2 * 256 - 0.5)]
        np.testing.assert_allclose(albedo[row, column], expected, atol=0.03)


def test_turn_and_zoom_place_the_mesh(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba")
    # A tall wedge with +Z up that looks along -Y: broad below.
    (tmp_path / "up.obj").write_text("v -1 0 0\nv 1 0 0\nv 0 0 2\nf 1 2 3\n")
    plain = MeshSubject(tmp_path / "up.obj", (64, 64), speed_px=0, turn=(0, -90, 0)).labels(0.0)
    widths = plain.sum(1)[plain.any(1)]
    assert widths[0] < widths[-1]
    zoomed = MeshSubject(tmp_path / "up.obj", (64, 64), speed_px=0, turn=(0, -90, 0), zoom=2.0).labels(0.0)
    assert np.flatnonzero(plain.any(1))[0] == pytest.approx(np.flatnonzero(zoomed.any(1))[0], abs=1)
    assert zoomed[-1].any()
    assert not plain[-1].any()


def test_the_command_records_a_mesh(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("mitsuba")
    out = tmp_path / "take"
    arguments = ["--mesh", str(folder / "ball.obj"), "--texture", str(folder / "colour.png"), "--size", "32"]
    result = CliRunner().invoke(command, [str(out), *arguments, "--seconds", "0.01", "--truth", "0"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["rig.json", "schedule.json", "take.cine"]
    assert len(CineStream(out / "take.cine")) == 10


def test_a_take_of_a_mesh_has_its_truth(ball: MeshSubject, folder: Path, tmp_path: Path) -> None:
    schedule = grouped_schedule(np.arange(12), group=4, tracking_gain=0.2, stride=5)
    stage = Stage(ball, default_rig(12), schedule, lens_blur_px=0.0)
    simulate(stage, tmp_path, ticks=30, truth=2, workers=2)
    ticks = stage.reference_ticks(30)
    truth = read_truth(tmp_path / "truth.h5", 0)
    np.testing.assert_allclose(truth["olat"], stage.olat(int(ticks[0])), atol=0.51 / 4031)  # half a code
    np.testing.assert_array_equal(truth["label"], ball.labels(ticks[0] / 1000))
    with h5py.File(tmp_path / "truth.h5") as file:
        named = dict(file.attrs)
    assert (named["subject"], named["mesh"], named["mesh_texture"]) == ("mesh", "ball.obj", "colour.png")
    assert named["mesh_sha256"] == hashlib.sha256((folder / "ball.obj").read_bytes()).hexdigest()
    assert ("subject", "mesh ball.obj") in [(fact.label, fact.text) for fact in describe(tmp_path / "truth.h5").facts]


@pytest.mark.real_data
def test_a_scanned_head(test_data: Path, tmp_path: Path) -> None:
    """Lee Perry-Smith's head scan (CC-BY 3.0, Infinite-Realities): a face with lips, brows and a shadow of the nose."""
    pytest.importorskip("mitsuba")
    source = test_data / "heads" / "leeperrysmith"
    path = write_threejs_as_obj(source / "LeePerrySmith.js", tmp_path / "head.obj")
    head = MeshSubject(path, (128, 128), texture=source / "color.jpg", speed_px=0, zoom=1.7)
    albedo, alpha = _albedo(head, 0.0), head.alpha(0.0)
    assert 0.3 < alpha.mean() < 0.6
    red = np.where(head.labels(0.0) > 0, albedo[..., 0] / (albedo[..., 1] + 1e-3), 0)
    y, x = np.unravel_index(np.argmax(cv2.GaussianBlur(red, (0, 0), 1.5)), red.shape)
    assert abs(x - 64) < 12  # lips in the middle, below the middle
    assert 78 < y < 100
    view = head.view(0.0)
    left, right = head.olat(view, np.array([[-0.9, 0.2, 0.4], [0.9, 0.2, 0.4]]))[..., 1]
    assert left[:, :64].sum() > 2 * left[:, 64:].sum()
    # A face is nearly symmetric.
    assert np.corrcoef(left.ravel(), right[:, ::-1].ravel())[0, 1] > 0.8
    # The same scan as the other file holds it.
    same = MeshSubject(
        source / "LeePerrySmith.glb", (128, 128), texture=source / "color.jpg", flip_texture=True, speed_px=0, zoom=1.7
    )
    difference = np.abs(_albedo(same, 0.0) - albedo)[(alpha == 1) & (same.alpha(0.0) == 1)]
    assert np.median(difference) < 0.02


def write_threejs_as_obj(source: Path, path: Path) -> Path:
    """Convert a three.js JSON model (its texture coordinates run downwards)."""
    text = source.read_text()

    def array(name: str) -> list:
        found = re.search(rf'"{name}"\s*:\s*(?=\[)', text)
        assert found is not None
        return json.JSONDecoder().raw_decode(text[found.end() :])[0]

    points, uv, numbers = array("vertices"), array("uvs")[0], iter(array("faces"))
    lines = [f"v {points[i]} {points[i + 1]} {points[i + 2]}" for i in range(0, len(points), 3)]
    lines += [f"vt {uv[i]} {1 - uv[i + 1]}" for i in range(0, len(uv), 2)]
    for flags in numbers:
        assert flags & ~0b101011 == 0  # quads or triangles with material, coordinates and normals
        corners = 4 if flags & 1 else 3
        vertices = [next(numbers) + 1 for _ in range(corners)]
        for _ in range(flags >> 1 & 1):
            next(numbers)
        coordinates = [next(numbers) + 1 for _ in range(corners)]
        for _ in range(corners * (flags >> 5 & 1)):
            next(numbers)
        lines.append("f " + " ".join(f"{v}/{t}" for v, t in zip(vertices, coordinates, strict=True)))
    path.write_text("\n".join(lines))
    return path


def _albedo(subject: MeshSubject, time_s: float) -> np.ndarray:
    """Reflectance under every pixel centre."""
    view = subject.view(time_s, supersample=1)
    out = np.zeros((subject.size[0] * subject.size[1], 3), np.float32)
    out[view.index] = view.table[:, 6:9]
    return out.reshape(*subject.size, 3)
