"""``olatkit import``, ``calibrate``, ``normals`` and ``export-lp`` as a user meets them, one feeding the next."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from photographs import directions, manifest, sphere, write_photographs

import olatkit
from olatkit.capture.chart import chart_reference
from olatkit.capture.probes import angles_deg
from olatkit.cli.calibrate import _read_truth
from olatkit.cli.main import load_command
from olatkit.color import encode_srgb
from olatkit.io.documents import write_rig
from olatkit.io.images import read_exr, write_exr, write_png
from olatkit.io.run_lock import running_alone
from olatkit.rig import LightRig

LIGHTS = directions(12)


def call(name: str, *arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(load_command(name), [str(a) for a in arguments], catch_exceptions=code != 0)
    assert (result.exit_code == 0) == (code == 0), result.output
    return result


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photographs(folder, sphere(LIGHTS), LIGHTS)
    manifest(folder)
    return folder


@pytest.fixture(scope="module")
def take(photos: Path) -> Path:
    out = photos.parent / "take.olat.h5"
    call("import", photos, "-m", photos / "manifest.yaml", "-o", out)
    assert out.with_name("take.report.html").read_text().lstrip().startswith("<!")
    return out


def test_photographs_to_a_relit_picture(take: Path, tmp_path: Path) -> None:
    sky = np.full((16, 32, 3), 0.1, np.float32)
    sky[6:9, 24:27] = 40  # a window to the picture's right
    write_exr(tmp_path / "sky.exr", sky)
    call("render", take, "--envmap", tmp_path / "sky.exr", "-o", tmp_path / "a.exr")
    picture = read_exr(tmp_path / "a.exr")
    assert picture[:, 30:36].mean() > 1.5 * picture[:, 12:18].mean()
    assert "12, 0 dead" in call("info", take).output
    assert "rate" not in call("info", take).output


def test_the_draft_comes_first(photos: Path, tmp_path: Path) -> None:
    assert "fill in the empty keys" in call("import", photos, "--write-manifest", tmp_path / "m.yaml").output
    assert "give --manifest FILE" in call("import", photos, code=2).output
    # Neither the folder nor the manifest is there: the folder is what is wrong first, and no draft of nothing is written.
    for options in (("-m", tmp_path / "no.yaml", "-o", tmp_path / "a.olat.h5"), ("--write-manifest", tmp_path / "no.yaml")):
        refused = call("import", tmp_path / "nowhere", *options, code=1)
        assert "nowhere: no such folder, expected" in str(refused.exception)
    assert not (tmp_path / "no.yaml").exists()
    refused = call("import", photos, "-m", tmp_path / "m.yaml", "-o", tmp_path / "a.olat.h5", code=1)
    assert "key 'pictures.files' is missing" in str(refused.exception)
    assert not list(tmp_path.glob("a.*"))


def test_nothing_is_overwritten(photos: Path, take: Path, tmp_path: Path) -> None:
    before = take.read_bytes()
    refused = call("import", photos, "-m", photos / "manifest.yaml", "-o", take, code=1)
    assert "already exists" in str(refused.exception)
    assert take.read_bytes() == before


def _mirror_photographs(folder: Path, lights: np.ndarray) -> None:
    """A mirror ball far away at (60.2, 57.6), radius 44.3, before a grey wall."""
    folder.mkdir()
    axis = (np.arange(480) + 0.5) / 4 - 0.5
    x, y = np.meshgrid(axis, axis)
    right, up = (x - 60.2) / 44.3, -(y - 57.6) / 44.3
    inside = right**2 + up**2 < 1
    normals = np.stack([right, up, np.sqrt(np.where(inside, 1 - right**2 - up**2, 0))], -1)
    mirrored = 2 * normals[..., 2:] * normals - np.array([0, 0, 1.0])
    for i, light in enumerate(lights):
        image = np.where(inside, np.exp(2000 * (mirrored @ light - 1)), 0.15)
        grey = image.reshape(120, 4, 120, 4).mean(axis=(1, 3))
        codes = np.round(encode_srgb(grey) * 255).astype(np.uint8)
        write_png(folder / f"ball_{i + 1}.png", np.repeat(codes[..., None], 3, axis=2))


def test_a_mirror_ball_gives_the_rig(tmp_path: Path) -> None:
    _mirror_photographs(tmp_path / "ball", LIGHTS)
    write_rig(tmp_path / "truth.json", LightRig("truth", LIGHTS))
    result = call(
        "calibrate", "lights", tmp_path / "ball", "-o", tmp_path / "rig.json", "--truth", tmp_path / "truth.json"
    )
    rig = olatkit.read_rig(tmp_path / "rig.json")
    # At this small size of ball a pixel is up to 2.6 degrees.
    assert angles_deg(rig.directions, LIGHTS).max() < 0.5
    error = angles_deg(rig.directions, LIGHTS)
    assert f"mean {error.mean():.2f}, max {error.max():.2f} degrees" in result.stderr
    # The rig serves an import: its lights are in the order of the pictures.
    write_photographs(tmp_path / "photos", sphere(LIGHTS), LIGHTS)
    path = manifest(tmp_path / "photos", lights={"source": "../rig.json", "order": "numbered"})
    call("import", tmp_path / "photos", "-m", path, "-o", tmp_path / "a.olat.h5", "--no-report")
    assert len(olatkit.open_take(tmp_path / "a.olat.h5").rig) == 12


def test_close_lights_are_told_of_the_rig_that_is_found_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    close = np.array([[0, 0, 1], [np.sin(0.05), 0, np.cos(0.05)]])
    write_rig(tmp_path / "truth.json", LightRig("stage", close))
    caplog.clear()
    np.testing.assert_allclose(_read_truth(tmp_path / "truth.json").directions, close, atol=1e-6)
    assert caplog.text == ""
    olatkit.read_rig(tmp_path / "truth.json")
    assert "lights 0 and 1 are only 2.86 degrees apart" in caplog.text


def test_a_photograph_that_may_be_no_light(tmp_path: Path) -> None:
    _mirror_photographs(tmp_path / "ball", LIGHTS)
    (tmp_path / "ball" / "ball_3.png").rename(tmp_path / "ball" / "ref.png")
    arguments = ["lights", tmp_path / "ball", "-o", tmp_path / "rig.json", "--ball", "60.2,57.6,44.3"]
    refused = call("calibrate", *arguments, code=1)
    assert "ref.png among 11 photographs named ball_*.png; is it a light?" in str(refused.exception)
    said = (("--pictures", "ball_*.png", 11), ("--pictures", "*.*", 12), ("--ball-picture", "ref.png", 11))
    for option, value, count in said:
        call("calibrate", *arguments, option, value, "--overwrite")
        assert len(olatkit.read_rig(tmp_path / "rig.json")) == count
    write_rig(tmp_path / "drawing.json", LightRig("drawing", LIGHTS))
    refused = call("calibrate", *arguments, "--pictures", "ball_*.png", "--rig", tmp_path / "drawing.json", "--overwrite",
                   code=1)
    assert "11 photographs of single lights, but the rig" in str(refused.exception)


def test_lights_that_no_ball_shows(tmp_path: Path) -> None:
    behind = np.concatenate([LIGHTS[:5], [[0.0, 0.0, -1.0]]])
    _mirror_photographs(tmp_path / "ball", behind)
    arguments = ["lights", tmp_path / "ball", "-o", tmp_path / "rig.json", "--ball", "60.2,57.6,44.3"]
    refused = call("calibrate", *arguments, code=1)
    assert "lights [5] show no highlight on the ball, or stand behind it; give a rig that has" in str(refused.exception)
    refused = call("calibrate", "lights", tmp_path / "nowhere", "-o", tmp_path / "rig.json", code=1)
    assert "nowhere: no such file or folder, expected photographs of a mirror ball" in str(refused.exception)
    write_rig(tmp_path / "drawing.json", LightRig("drawing", behind))
    call("calibrate", *arguments, "--rig", tmp_path / "drawing.json")
    assert olatkit.read_rig(tmp_path / "rig.json").directions[5].tolist() == [0, 0, -1]


@pytest.mark.parametrize("target", ["ball", "flat"])
def test_gains_from_a_white_target(tmp_path: Path, target: str) -> None:
    gains = np.random.default_rng(2).uniform(0.7, 1.2, (12, 3))
    white = sphere(LIGHTS, (120, 120)) / np.array([0.8, 0.6, 0.4]) * 0.7
    if target == "flat":
        white = np.repeat(LIGHTS[:, 2], 120 * 120 * 3).reshape(12, 120, 120, 3) * 0.7
    write_photographs(tmp_path / "photos", white * gains[:, None, None], LIGHTS)
    manifest(tmp_path / "photos")
    call("import", tmp_path / "photos", "-m", tmp_path / "photos/manifest.yaml", "-o", tmp_path / "white.olat.h5")
    place = ["--ball", "60,60,54"] if target == "ball" else ["--flat", "30,30,40,40"]
    told = call("calibrate", "gains", tmp_path / "white.olat.h5", "-o", tmp_path / "rig.json", *place).stderr
    assert float(told.partition("diffuse surface by ")[2].split()[0]) < 2
    if target == "ball":
        elsewhere = ["-o", tmp_path / "no.json", "--ball", "75,75,54"]
        refused = call("calibrate", "gains", tmp_path / "white.olat.h5", *elsewhere, code=1)
        assert "shading of the ball at (75, 75) with radius 54 px differs by" in str(refused.exception)
        assert "say where the target is with --ball or --flat" in str(refused.exception)
        assert not (tmp_path / "no.json").exists()
    found = olatkit.read_rig(tmp_path / "rig.json").gains
    expected = gains / (gains @ [0.2126, 0.7152, 0.0722]).mean()
    assert np.abs(found / expected - 1).max() < 0.005
    # Imported with these gains, the white target looks alike under all lights.
    path = manifest(tmp_path / "photos", lights={"source": "../rig.json", "order": "numbered", "gains": "list"})
    call("import", tmp_path / "photos", "-m", path, "-o", tmp_path / "even.olat.h5", "--no-report")
    even = olatkit.open_take(tmp_path / "even.olat.h5")
    measured = np.array([image[50:70, 50:70].mean(axis=(0, 1)) for image in even[0].radiance])
    assert np.ptp(measured / white[:, 50:70, 50:70].mean(axis=(1, 2)), axis=0).max() < 0.01
    # Measured again, what is left is 1 times the gains that were divided out.
    call("calibrate", "gains", tmp_path / "even.olat.h5", "-o", tmp_path / "again.json", *place)
    assert np.abs(olatkit.read_rig(tmp_path / "again.json").gains / expected - 1).max() < 0.01


def test_color_of_a_photograph(tmp_path: Path) -> None:
    camera = np.array([[0.55, 0.30, 0.10], [0.22, 0.70, 0.12], [0.05, 0.30, 0.60]])
    patches = chart_reference() @ camera.T * 0.8
    picture = np.repeat(np.repeat(patches.reshape(4, 6, 3), 40, axis=0), 40, axis=1)
    write_png(tmp_path / "chart.png", np.round(picture * 65535).astype(np.uint16))
    arguments = ["color", tmp_path / "chart.png", "-o", tmp_path / "matrix.json", "--corners", "0,0,239,0,239,159,0,159"]
    assert "state the photograph's curve and levels" in str(call("calibrate", *arguments, code=1).exception)
    levels = ["--transfer", "linear", "--black-level", "0", "--white-level", "65535"]
    assert "residual of the patches 0." in call("calibrate", *arguments, *levels).output
    matrix = np.array(json.loads((tmp_path / "matrix.json").read_text()))
    ratio = (patches @ matrix.T) / chart_reference()
    assert np.ptp(ratio[18:], axis=1).max() < 0.01
    write_photographs(tmp_path / "photos", sphere(LIGHTS), LIGHTS)
    path = manifest(tmp_path / "photos", pictures={"color": "../matrix.json"})
    call("import", tmp_path / "photos", "-m", path, "-o", tmp_path / "a.olat.h5", "--no-report")
    expected = sphere(LIGHTS)[3] @ matrix.T
    assert np.abs(olatkit.open_take(tmp_path / "a.olat.h5")[0].radiance[3] - expected).max() < 4e-3


@pytest.mark.real_data
def test_color_of_a_phantom_file(tmp_path: Path, test_data: Path) -> None:
    """A Flex4K frame of a card whose upper and lower rows are cut by the edge of the picture."""
    frame, corners = test_data / "cine/flex4k_colorchecker_p10.cine", "80.3,-46.9,1912.3,-126.3,2066.3,1071.1,109.3,1198.6"
    found = call("calibrate", "color", frame, "-o", tmp_path / "found.json").output
    by_hand = call("calibrate", "color", frame, "-o", tmp_path / "by_hand.json", "--corners", corners).output
    assert "residual of the patches 4.7 in the mean" in found
    assert "residual of the patches 4.6 in the mean" in by_hand
    one, other = (np.array(json.loads((tmp_path / name).read_text())) for name in ("found.json", "by_hand.json"))
    assert (np.diag(one) > 1).all()
    assert np.abs(one - other).max() < 0.1


def test_dark_frame(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).normal(64, 3, (40, 24, 32)).round().astype(np.uint16)
    np.save(tmp_path / "off.npy", frames)
    levels = {"frame_rate_hz": 1000, "bayer": "gbrg", "black_level": 64, "white_level": 4095}
    (tmp_path / "off.json").write_text(json.dumps(levels))
    call("calibrate", "dark", tmp_path / "off.npy", "-o", tmp_path / "dark.npy")
    stream = olatkit.open_stream(tmp_path / "dark.npy")
    assert (len(stream), stream.bayer, stream.white_level) == (1, "gbrg", 4095)
    assert np.abs(stream.read(0, 1)[0] - frames.mean(axis=0)).max() < 1e-3
    call("calibrate", "dark", tmp_path / "off.npy", "-o", tmp_path / "dark.exr")
    assert read_exr(tmp_path / "dark.exr") == pytest.approx(frames.mean(axis=0), abs=1e-3)
    assert "ends in .npy" in str(call("calibrate", "dark", tmp_path / "off.npy", "-o", tmp_path / "d.tif", code=1).exception)
    np.save(tmp_path / "off.npy", frames + 1000)
    lit = call("calibrate", "dark", tmp_path / "off.npy", "-o", tmp_path / "lit.npy", code=1)
    assert "25 % of the way from black (64) to full scale" in str(lit.exception)
    assert not (tmp_path / "lit.npy").exists()


def test_normals_go_on_after_a_stop(take: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    arguments = [take, "-o", out, "--maps", "normals,occlusion,gradients", "--format", "exr", "--ranks", "0.4,0.95"]
    assert "6 files" in call("normals", *arguments).output
    normals = read_exr(out / "normals_0000.exr")
    y, x = np.mgrid[0:40, 0:48]
    truth = np.stack([(x - 24) / 18, -(y - 20) / 18], -1)
    near = np.hypot(*np.moveaxis(truth, -1, 0)) < 0.6
    assert np.abs(normals[near][:, :2] - truth[near]).max() < 0.01
    (out / "occlusion_0000.exr").unlink()
    assert "6 files" in call("normals", *arguments).output
    assert "0 files, 6 kept" in call("normals", *arguments).output
    refused = call("normals", *arguments, "--steps", "0", code=1)
    assert "made with other settings" in str(refused.exception)
    call("normals", *arguments, "--steps", "0", "--overwrite")
    for wrong in (["--ranks", "0.9,0.1"], ["--maps", "shape"], ["--imageset", "first"]):
        call("normals", take, "-o", tmp_path / "b", *wrong, code=2)
    refused = call("normals", take, "-o", tmp_path / "b", "--imageset", 3, code=1)
    assert "imageset 3 is not in the take" in str(refused.exception)
    with running_alone(out / "normals.parts"):
        refused = call("normals", *arguments, "--overwrite", code=1)
    assert "another run is writing there" in str(refused.exception)
    assert not (tmp_path / "b").exists()


def test_export_lp_of_a_rig(tmp_path: Path) -> None:
    write_rig(tmp_path / "rig.json", LightRig("r", LIGHTS, enabled=np.arange(12) != 5))
    call("export-lp", tmp_path / "rig.json", "-o", tmp_path / "rig.lp")
    lines = (tmp_path / "rig.lp").read_text().splitlines()
    assert lines[0] == "11"
    assert lines[6].startswith("rig_0006.png ")
    assert "end in .lp" in str(call("export-lp", tmp_path / "rig.json", "-o", tmp_path / "rig.txt", code=1).exception)


def test_export_lp_of_a_take_writes_all_or_nothing(take: Path, tmp_path: Path) -> None:
    (tmp_path / "a_0005.png").write_bytes(b"mine")
    refused = call("export-lp", take, "-o", tmp_path / "a.lp", code=1)
    assert "a_0005.png: already exists" in str(refused.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["a_0005.png"]
    call("export-lp", take, "-o", tmp_path / "a.lp", "--overwrite")
    assert len(list(tmp_path.glob("a_*.png"))) == 12


@pytest.mark.slow
def test_crosstalk_is_measured_and_taken(tmp_path: Path) -> None:
    stage = tmp_path / "stage"
    call("simulate", stage, "--size", 96, "--seconds", 0.3, "--crosstalk", 0.05, "--speed-px", 0, "--truth", 1)
    where = ["--rig", stage / "rig.json", "--schedule", stage / "schedule.json"]
    call("calibrate", "crosstalk", stage / "take.cine", *where, "-o", tmp_path / "ingest.yaml")
    found = float((tmp_path / "ingest.yaml").read_text().removeprefix("crosstalk: "))
    assert found == pytest.approx(0.05, abs=0.002)
    call("ingest", stage / "take.cine", *where, "--config", tmp_path / "ingest.yaml", "-o", tmp_path / "a.olat.h5",
         "--no-report")
    assert olatkit.open_take(tmp_path / "a.olat.h5").notes["crosstalk"] == found
