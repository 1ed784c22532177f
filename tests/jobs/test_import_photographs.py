"""Photographs in, a take out: every kind of file and list gives the same light."""

import json
from pathlib import Path

import numpy as np
import pytest
from photographs import SIZE, directions, manifest, sphere, write_float, write_photographs, write_srgb

import olatkit
from olatkit.errors import CaptureError, ConfigError, FormatError, OutputExistsError
from olatkit.imageset import CLIPPED_CODES, SATURATED
from olatkit.io.describe import describe
from olatkit.io.images import write_png
from olatkit.io.manifests import read_manifest
from olatkit.jobs import import_photographs as job
from olatkit.jobs.export_lp import export_lp
from olatkit.jobs.import_photographs import import_photographs

LIGHTS = directions()
EXACT = sphere(LIGHTS)
# Half a step of the stored codes at radiance 0.8, and the 16-bit rounding of the files.
STEP = 1.2e-3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photographs(tmp_path / "photos", EXACT, LIGHTS)
    return tmp_path / "photos"


def _take(folder: Path, out: Path | None = None, **changes) -> olatkit.io.takes.Take:
    out = out or folder.parent / "take.olat.h5"
    import_photographs(folder, read_manifest(manifest(folder, **changes)), out, scheduler="sync", overwrite=True)
    return olatkit.open_take(out)


def test_linear_16_bit(folder: Path) -> None:
    take = _take(folder)
    assert len(take) == 1
    assert np.abs(take[0].radiance - EXACT).max() < STEP
    assert np.abs(take.rig.directions - LIGHTS).max() < 1e-8
    assert np.abs(take[0].full - EXACT.sum(axis=0)).max() < len(LIGHTS) * STEP
    assert not take[0].quality.any()
    assert take.rig.positions is None
    assert take.schedule is None


def test_black_level_keeps_negative_noise(tmp_path: Path) -> None:
    noisy = EXACT + np.random.default_rng(0).normal(0, 0.01, EXACT.shape)
    write_photographs(tmp_path / "photos", noisy, LIGHTS, black=4000)
    take = _take(tmp_path / "photos", pictures={"black_level": 4000})
    assert np.abs(take[0].radiance - noisy).max() < STEP
    assert take[0].radiance.min() < -0.02


def test_srgb_8_bit(folder: Path) -> None:
    write_srgb(folder, EXACT)
    take = _take(folder, pictures={"transfer": "srgb", "white_level": 255})
    assert np.abs(take[0].radiance - EXACT).max() < 0.006  # half an 8-bit step near 0.8


def test_exr_is_stored_as_floats(folder: Path) -> None:
    bright = EXACT * 20
    write_float(folder, bright)
    take = _take(folder, pictures={"files": "light_*.exr", "white_level": 1})
    assert take.encoding == "float32"
    assert (take[0].radiance == bright.astype(np.float32)).all()


def test_codes_that_overflow_are_flagged(folder: Path) -> None:
    write_float(folder, EXACT * 8)
    found = read_manifest(manifest(folder, pictures={"files": "light_*.exr", "white_level": 1}))
    done = import_photographs(folder, found, folder.parent / "take.olat.h5", encoding="sqrt12", scheduler="sync")
    quality = olatkit.open_take(done.take).quality[0]
    half_a_step = 1.1e-3  # of the last code, which is radiance 4
    assert (4 + half_a_step < EXACT * 8).sum() <= done.beyond <= (EXACT * 8 > 4).sum()
    assert (quality & CLIPPED_CODES > 0).any()


def test_saturation_is_flagged(folder: Path) -> None:
    write_photographs(folder, np.minimum(EXACT * 1.6, 1), LIGHTS)
    take = _take(folder)
    share = ((EXACT * 1.6).max(axis=3) >= 0.985).mean(axis=(1, 2))
    assert ((take.quality[0] & SATURATED > 0) == (share > 0.01)).all()
    assert (share > 0.01).any()


def test_bayer_mosaic(folder: Path) -> None:
    smooth = np.full((len(LIGHTS), *SIZE, 3), (0.5, 0.4, 0.2)) * np.linspace(0.5, 1, len(LIGHTS))[:, None, None, None]
    mosaic = smooth[..., 1].copy()
    mosaic[:, 0::2, 0::2], mosaic[:, 1::2, 1::2] = smooth[:, 0::2, 0::2, 0], smooth[:, 1::2, 1::2, 2]
    write_photographs(folder, mosaic, LIGHTS)
    take = _take(folder, pictures={"bayer": "rggb"})
    assert np.abs(take[0].radiance - smooth).max() < 2 * STEP


def test_axes_are_the_manifests(folder: Path) -> None:
    # A left-handed list: y down, z away from the camera.
    flipped = LIGHTS * np.array([1, -1, -1])
    write_photographs(folder, EXACT, flipped)
    take = _take(folder, lights={"axes": "x-right,y-down,z-from-camera"})
    assert np.abs(take.rig.directions - LIGHTS).max() < 1e-8
    turned = LIGHTS[:, [2, 0, 1]]
    write_photographs(folder, EXACT, turned)
    take = _take(folder, lights={"axes": "x-to-camera,y-right,z-up"})
    assert np.abs(take.rig.directions - LIGHTS).max() < 1e-8


def test_gains_are_divided_out_once(folder: Path) -> None:
    gains = np.random.default_rng(1).uniform(0.6, 1.25, (len(LIGHTS), 3))
    write_photographs(folder, EXACT * gains[:, None, None], LIGHTS)
    rows = [f"{i},{','.join(map(str, [*d, *g]))}" for i, (d, g) in enumerate(zip(LIGHTS, gains, strict=True))]
    (folder / "lights.csv").write_text("\n".join(["id,x,y,z,gr,gg,gb", *rows]))
    lights = {"source": "lights.csv", "order": "numbered", "gains": "list"}
    take = _take(folder, lights=lights)
    assert np.abs(take[0].radiance - EXACT).max() < 2 * STEP
    assert np.abs(take.rig.gains - gains).max() < 1e-8
    # What the camera saw with all lights on.
    assert np.abs(take[0].full - (EXACT * gains[:, None, None]).sum(axis=0)).max() < 2 * len(LIGHTS) * STEP
    assert np.abs(_take(folder, lights={**lights, "gains": "equal"})[0].radiance - EXACT).max() > 0.1


def test_fall_off_with_distance(folder: Path) -> None:
    positions = LIGHTS * np.linspace(1, 1.3, len(LIGHTS))[:, None]
    brightness = (positions**2).sum(axis=1) ** -1
    write_photographs(folder, EXACT * (brightness / brightness.mean())[:, None, None, None] * 0.7, positions * 100)
    take = _take(folder, lights={"gains": "distance", "unit": "cm"})
    assert np.abs(take[0].radiance - 0.7 * EXACT).max() < 2 * STEP
    assert np.abs(take.rig.positions - positions).max() < 1e-8


def test_positions_count_from_the_subject(folder: Path) -> None:
    origin = np.array([10.0, -20, 5])
    write_photographs(folder, EXACT, LIGHTS * 1000 + origin)
    take = _take(folder, lights={"unit": "mm", "origin": origin.tolist()})
    assert np.abs(take.rig.positions - LIGHTS).max() < 1e-8


def test_ambient_mask_crop_and_scale(folder: Path) -> None:
    ambient = np.full((*SIZE, 3), 0.05)
    write_photographs(folder, EXACT + ambient, LIGHTS)
    write_png(folder / "light_off.png", np.round(ambient * 65535).astype(np.uint16))
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 12:36] = 255
    write_png(folder / "mask.png", mask)
    pictures = {"ambient": "light_off.png", "mask": "mask.png", "crop": [4, 4, 40, 32], "scale": 0.5}
    take = _take(folder, pictures=pictures)
    halves = (EXACT * (mask > 0)[..., None])[:, 4:36, 4:44].reshape(len(LIGHTS), 16, 2, 20, 2, 3).mean(axis=(2, 4))
    assert take.shape == (16, 20)
    assert take.box == (3, 4, 10, 12)
    assert np.abs(take[0].radiance - halves).max() < 2 * STEP


def test_directions_in_names(folder: Path) -> None:
    grid = [(x, y) for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.25)]
    places = np.array([[x, y, 1.0] for x, y in grid])
    lights = places / np.linalg.norm(places, axis=1, keepdims=True)
    pictures = sphere(lights)
    for (x, y), image in zip(grid, pictures, strict=True):
        write_png(folder / f"Ball_{x}_{y}.png", np.round(image * 65535).astype(np.uint16))
    found = {"source": "names", "order": "names", "z": 1}
    take = _take(folder, pictures={"files": "Ball_{x}_{y}.png"}, lights=found)
    order = [int(np.abs(lights - d).sum(axis=1).argmin()) for d in take.rig.directions]
    assert sorted(order) == list(range(6))
    assert np.abs(take[0].radiance - pictures[order]).max() < STEP


@pytest.mark.parametrize("names", ["az{azimuth}_el{elevation}.png", "t{theta}_p{phi}.png"])
def test_angles_in_names(folder: Path, names: str) -> None:
    x, y, z = LIGHTS.T
    if "azimuth" in names:
        first, second = np.degrees(np.arctan2(x, z)), np.degrees(np.arcsin(y))
    else:
        first, second = np.degrees(np.arccos(z)), np.degrees(np.arctan2(y, x))
    for i, (a, b) in enumerate(zip(first, second, strict=True)):
        name = names.replace("{azimuth}", f"{a:.4f}").replace("{elevation}", f"{b:.4f}")
        name = name.replace("{theta}", f"{a:.4f}").replace("{phi}", f"{b:.4f}")
        (folder / f"light_{i:03d}.png").rename(folder / name)
    take = _take(folder, pictures={"files": names}, lights={"source": "names", "order": "names"})
    closest = (take.rig.directions @ LIGHTS.T).max(axis=1)
    assert (closest > 1 - 1e-9).all()


def test_numbers_ids_and_dead_lights(folder: Path) -> None:
    (folder / "light_004.png").unlink()
    numbered = _take(folder, lights={"order": "numbered", "dead": [4]})
    by_id = _take(folder, folder.parent / "b.olat.h5", pictures={"files": "light_{id}.png"},
                  lights={"order": "id", "dead": [4]})
    for take in (numbered, by_id):
        assert take.rig.enabled.tolist() == [i != 4 for i in range(len(LIGHTS))]
        assert not take[0].radiance[4].any()
        assert np.abs(np.delete(take[0].radiance - EXACT, 4, axis=0)).max() < STEP


def test_any_scheduler_and_a_killed_run_give_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_manifest(manifest(folder))
    once = import_photographs(folder, found, folder.parent / "once.olat.h5", scheduler="threads", workers=2)
    whole, done, real = folder.parent / "twice.olat.h5", [], job.write_light_part

    def stop_at_five(*args, **given) -> None:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(real(*args, **given))

    with monkeypatch.context() as patch:
        patch.setattr(job, "write_light_part", stop_at_five)
        with pytest.raises(KeyboardInterrupt):
            import_photographs(folder, found, whole, scheduler="sync")
    assert not whole.exists()
    facts = {fact.key: fact.value for fact in describe(folder.parent / "twice.olat.h5.parts").facts}
    assert facts["pictures_done"] == [5, len(LIGHTS)]
    again = import_photographs(folder, found, whole, scheduler="sync")
    assert (once.resumed, again.resumed) == (0, 5)
    assert whole.read_bytes() == once.take.read_bytes()
    assert not (folder.parent / "twice.olat.h5.parts").exists()


def test_parts_of_other_pictures_are_not_reused(folder: Path) -> None:
    found = read_manifest(manifest(folder))
    parts = folder.parent / "take.olat.h5.parts"
    parts.mkdir()
    (parts / "plan.json").write_text(json.dumps({"digest": "other"}))
    with pytest.raises(OutputExistsError, match="parts of a run with other input"):
        import_photographs(folder, found, folder.parent / "take.olat.h5", scheduler="sync")


def test_a_take_goes_to_rti_tools_and_back(folder: Path, tmp_path: Path) -> None:
    take = _take(folder)
    done = export_lp(take.path, tmp_path / "rti" / "ball.lp", bits=16)
    assert (done.lights, done.pictures, done.clipped) == (len(LIGHTS), len(LIGHTS), 0)
    found = manifest(tmp_path / "rti", pictures={"files": "ball_*.png", "transfer": "srgb"}, lights={"source": "ball.lp"})
    out = tmp_path / "back.olat.h5"
    import_photographs(tmp_path / "rti", read_manifest(found), out, scheduler="sync")
    back = olatkit.open_take(out)
    assert np.abs(back[0].radiance - take[0].radiance).max() < 2 * STEP
    assert np.abs(back.rig.directions - take.rig.directions).max() < 1e-8


def _spoil(folder: Path, what: str) -> None:
    name = folder / "light_003.png"
    if what == "missing":
        name.unlink()
    elif what == "damaged":
        name.write_bytes(name.read_bytes()[:200])
    elif what == "size":
        write_png(name, np.zeros((20, 20, 3), np.uint16), overwrite=True)
    elif what == "depth":
        write_png(name, np.zeros((*SIZE, 3), np.uint8), overwrite=True)
    elif what == "alpha":
        write_png(name, np.zeros((*SIZE, 4), np.uint16), overwrite=True)
    elif what == "extra":
        write_png(folder / "light_100.png", np.zeros((*SIZE, 3), np.uint16))
    elif what == "count":
        (folder / "lights.lp").write_text("4\nlight_000.png 0 0 1\n")
    elif what == "text":
        (folder / "lights.lp").write_text("1\nlight_000.png 0 zero 1\n")
    elif what == "twice":
        lines = (folder / "lights.lp").read_text().splitlines()
        lines[2] = lines[1]
        (folder / "lights.lp").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("missing", CaptureError, "light 3 is in picture 'light_003.png', which is not among the 8 pictures"),
        ("damaged", FormatError, "light_003.png: truncated image"),
        ("size", FormatError, "light_003.png: 20x20 pixels, expected 48x40 like the first picture"),
        ("depth", ConfigError, "light_003.png: holds uint8, but 'pictures.white_level' is 65535"),
        ("alpha", FormatError, "light_003.png: has transparent pixels"),
        ("extra", CaptureError, "1 picture not in the list, the first is 'light_100.png'"),
        ("count", FormatError, "first line says 4 lights, 1 follow"),
        ("text", FormatError, "line 2: .*expected 'name x y z'"),
        ("twice", CaptureError, "lights 0 and 1 are both in picture 'light_000.png'"),
    ],
)
def test_bad_folders(folder: Path, what: str, error: type[Exception], message: str) -> None:
    _spoil(folder, what)
    out = folder.parent / "take.olat.h5"
    with pytest.raises(error, match=message):
        import_photographs(folder, read_manifest(manifest(folder)), out, scheduler="sync")
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pictures": {"files": "*.tif"}}, CaptureError, r"no file fits '\*.tif'; it holds light_000.png"),
        ({"pictures": {"bayer": "file"}}, ConfigError, "'pictures.bayer' is file, but only camera raw files state it"),
        ({"pictures": {"bayer": "rggb"}}, FormatError, "has 3 channels, but 'pictures.bayer' says it is a mosaic"),
        ({"pictures": {"crop": [0, 0, 100, 10]}}, ConfigError, "reaches out of pictures of 48x40 pixels"),
        ({"pictures": {"mask": "no.png"}}, FormatError, "no.png: cannot be read"),
        ({"lights": {"source": "no.lp"}}, ConfigError, "no.lp: no such list of lights; .* counts from the folder"),
        ({"lights": {"order": "numbered", "dead": [1]}}, CaptureError, "8 lights in use, but 9 pictures"),
        ({"lights": {"gains": "list"}}, ConfigError, "has no gains"),
        ({"lights": {"axes": "x-right,y-up,z-from-camera"}, "wrong": True}, None, ""),
    ],
)
def test_manifests_that_do_not_fit(folder: Path, changes: dict, error: type[Exception] | None, message: str) -> None:
    changes = {k: v for k, v in changes.items() if k != "wrong"}
    if error is None:  # nothing can tell that the axes are wrong: the take has its lights behind the subject
        assert (_take(folder, **changes).rig.directions[:, 2] < 0).all()
        return
    with pytest.raises(error, match=message):
        _take(folder, **changes)
