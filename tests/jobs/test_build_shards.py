"""Takes become shards: the right contents, the same bytes from one run to the next."""

import shutil

import numpy as np
import pytest
from shard_builds import IMAGESETS, build, contents
from small_shards import LIGHTS, SIZE, small_config, sphere_stage, write_sphere_take

from olatkit.color import luminance, to_srgb8
from olatkit.imageset import CLIPPED_CODES
from olatkit.io import codes as radiance_codes
from olatkit.io.shard_index import read_index
from olatkit.io.shard_set import ShardSet
from olatkit.io.shards import ShardReader
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.io.takes import open_take
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_pictures import read_square
from olatkit.learn.lightings import light_weights_of, lighting_matrix
from olatkit.render.fully_lit import fully_lit
from olatkit.render.relight import relight
from olatkit.vision.matting import stack_foreground
from olatkit.vision.pair_flow import flow_pair


def test_codes_are_those_of_the_take(built):
    """A take of the shards' size keeps every code."""
    shards = ShardSet(built / "shards")
    for number in (0, 1):
        expected = [read_square(open_take(built / f"take{number}.olat.h5"), i, SIZE)[1] for i in range(IMAGESETS)]
        for i in range(IMAGESETS):
            reader, row = shards.locate(f"take{number}", i)
            np.testing.assert_array_equal(reader.read_codes(row), expected[i])


def test_read_square_keeps_codes(tmp_path):
    stored = write_sphere_take(tmp_path / "t.olat.h5", 2)
    radiance, codes, beyond = read_square(open_take(tmp_path / "t.olat.h5"), 1, SIZE)
    np.testing.assert_array_equal(codes, stored[1])
    np.testing.assert_array_equal(radiance, radiance_codes.decode(stored[1]))
    assert not beyond.any()


def test_a_box_off_the_middle_keeps_every_code(tmp_path):
    """All 4096 codes, none decoded and encoded on the way; black around the box, what is beyond the square left out."""
    rng = np.random.default_rng(2)
    codes = rng.permutation(np.arange(12 * 40 * 50 * 3) % 4096).astype(np.uint16).reshape(12, 40, 50, 3)
    codes[0, 0, :4, 0] = 60_000  # no code at all
    head = TakeHeader(sphere_stage().rig, None, (48, 72), (8, 3, 40, 50), 25.0)
    rows = ImagesetRows(np.zeros((40, 50, 3), np.float32), np.zeros(LIGHTS, np.uint8), np.zeros((LIGHTS, 2), np.int32),
                        np.ones(LIGHTS, np.float32), 0, 0, 0.0, {})
    write_part(tmp_path / "p", codes, rows, head, "x")
    merge_parts([tmp_path / "p"], tmp_path / "t.olat.h5", head)
    take = open_take(tmp_path / "t.olat.h5")
    radiance, got, beyond = read_square(take, 0, 48)
    expected = np.full((12, 48, 48, 3), radiance_codes.BLACK, np.uint16)
    expected[:, 8:, : 53 - 12] = np.minimum(codes[:, :, 12 - 3 :], 4095)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(got, radiance_codes.encode(take[0].radiance[:, :, 12:60])[0])
    np.testing.assert_array_equal(radiance, radiance_codes.decode(expected))
    assert not beyond.any()


def test_pictures_labels_and_flow_are_those_of_the_kernels(built):
    shards = ShardSet(built / "shards")
    take = open_take(built / "take0.olat.h5")
    config = small_config().labels
    kappa = shards.locate("take0", 0)[0].header.kappa
    full = []
    for i in range(IMAGESETS):
        radiance = read_square(take, i, SIZE)[0]
        full.append(to_srgb8(np.float32(kappa) * fully_lit(radiance, take.rig)))
        reader, row = shards.locate("take0", i)
        assert reader.header.kappa == kappa
        np.testing.assert_array_equal(reader.read("full", row), full[i])
        coverage = stack_foreground(radiance)
        np.testing.assert_array_equal(reader.read("mask", row), np.round(coverage * 255).astype(np.uint8))
        assert ((reader.read("parse", row) > 0) == (coverage > 0.5)).mean() > 0.99  # the vote may move the edge
        assert reader.rows["r"][row] == take.reference_ticks[i]
        np.testing.assert_array_equal(reader.rows["obs"][row], take.observations[i])
    for i in range(IMAGESETS - 1):
        reader, row = shards.locate("take0", i)
        pair = flow_pair(full[i], full[i + 1], config)
        for name, expected in (("flow_fw", pair.forward), ("flow_bw", pair.backward)):
            np.testing.assert_array_equal(reader.read(name, row), expected.astype(np.float16))
        np.testing.assert_array_equal(reader.read("occ_fw", row), pair.occluded_forward)
        np.testing.assert_array_equal(reader.read("occ_bw", row), pair.occluded_backward)


def test_kappa_gives_the_subject_a_quarter(built):
    take = open_take(built / "take0.olat.h5")
    radiance = read_square(take, 0, SIZE)[0]
    kappa = ShardSet(built / "shards").locate("take0", 0)[0].header.kappa
    lit = luminance(kappa * fully_lit(radiance, take.rig))[stack_foreground(radiance) > 0.5]
    assert float(np.median(lit)) == pytest.approx(0.25, rel=1e-4)


def test_baked_pictures_are_their_lightings(built):
    """Four pictures of a pair across the edge of two files: i at t, j at t + 1, k at both."""
    shards = ShardSet(built / "shards")
    (first, a), (second, b) = shards.locate("take0", 2), shards.locate("take0", 3)
    assert first is not second
    matrix = lighting_matrix(first.header.rig)
    for number in range(2):
        weights = light_weights_of(first.baked_lights[a, number], matrix) * first.header.kappa
        baked = first.read("baked", (a, number))
        sources = ((first, a, 0), (second, b, 1), (first, a, 2), (second, b, 2))
        for picture, (reader, row, light) in zip(baked, sources, strict=True):
            expected = to_srgb8(relight(reader.read_radiance(row), weights[light]))
            assert np.abs(picture.astype(int) - expected).max() <= 1
    assert np.abs(first.baked_lights[a, 0] - first.baked_lights[a, 1]).max() > 0.01


def test_larger_takes_are_cropped_and_averaged(tmp_path):
    """40 x 72 becomes 20 x 20 from the middle, exact for means of four codes' radiance."""
    rng = np.random.default_rng(1)
    rig = sphere_stage().rig
    radiance = rng.random((LIGHTS, 40, 72, 3)).astype(np.float32)
    path = tmp_path / "t.olat.h5"
    head = TakeHeader(rig, None, (40, 72), (0, 0, 40, 72), 25.0, encoding="float32")
    rows = ImagesetRows(radiance.sum(0), np.zeros(LIGHTS, np.uint8), np.zeros((LIGHTS, 2), np.int32),
                        np.ones(LIGHTS, np.float32), 0, 0, 0.0, {})
    write_part(tmp_path / "p", radiance, rows, head, "x")
    merge_parts([tmp_path / "p"], path, head)
    got, codes, beyond = read_square(open_take(path), 0, 20)
    means = radiance[:, :, 16:56].reshape(LIGHTS, 20, 2, 20, 2, 3).mean((2, 4))
    np.testing.assert_array_equal(codes, radiance_codes.encode(means)[0])
    np.testing.assert_array_equal(got, radiance_codes.decode(codes))
    assert not beyond.any()


@pytest.mark.parametrize("reduced", [1, 2, 4])
def test_rounding_stays_below_a_quarter_of_the_noise(reduced):
    """At every level, of a sensor of 20,000 electrons and 20 of read noise, blended of two looks and then reduced."""
    level = np.linspace(0, 3.9, 4000)
    noise = np.sqrt(2 / 3) * np.sqrt(level / 20000 + (20 / 20000) ** 2) / reduced
    table = radiance_codes.decode_table()
    code = radiance_codes.encode(level.astype(np.float32))[0]
    step = np.diff(table)[np.minimum(code, len(table) - 2)]
    assert (step / np.sqrt(12) <= noise / 4).all()


def test_values_beyond_the_codes_are_flagged(tmp_path):
    radiance = np.full((LIGHTS, SIZE, SIZE, 3), 0.3, np.float32)
    radiance[3, 5, 5] = 9.0
    radiance[:, :4] = 0  # a background
    head = TakeHeader(sphere_stage().rig, None, (SIZE, SIZE), (0, 0, SIZE, SIZE), 25.0, encoding="float32")
    rows = ImagesetRows(radiance.sum(0), np.zeros(LIGHTS, np.uint8), np.zeros((LIGHTS, 2), np.int32),
                        np.ones(LIGHTS, np.float32), 0, 0, 0.0, {})
    write_part(tmp_path / "p", radiance, rows, head, "x")
    merge_parts([tmp_path / "p"], tmp_path / "t.olat.h5", head)
    build_shards([tmp_path / "t.olat.h5"], tmp_path / "s", small_config(), scheduler="sync")
    quality = ShardReader(tmp_path / "s" / "shard-00000.h5").rows["quality"][0]
    assert np.flatnonzero(quality & CLIPPED_CODES).tolist() == [3]


def test_labels_do_not_depend_on_where_shards_begin(built, tmp_path):
    """Nor does anything else: one shard of all holds what shards of three hold."""
    build(built, tmp_path / "one", config=small_config(bake=2, shard_imagesets=100))
    a, b = ShardSet(built / "shards"), ShardSet(tmp_path / "one")
    for pair in a.pairs:
        (first, i), (second, j) = a.locate(pair.take, pair.first), b.locate(pair.take, pair.first)
        for name in ("full", "parse", "mask", "flow_fw", "flow_bw", "occ_fw", "occ_bw"):
            np.testing.assert_array_equal(first.read(name, i), second.read(name, j))
        np.testing.assert_array_equal(first.read("baked", (i, 1)), second.read("baked", (j, 1)))


def test_index_and_summary(built):
    index = read_index(built / "shards")
    assert [take.labels for take in index.takes] == ["foreground"] * 2
    assert [(s.take, s.first, s.imagesets, s.pairs) for s in index.shards] == [
        (f"take{t}", first, min(3, IMAGESETS - first), min(3, IMAGESETS - 1 - first)) for t in (0, 1) for first in (0, 3, 6)
    ]
    text = (built / "shards" / "index.json").read_text()
    assert str(built) not in text
    assert str(built).encode() not in b"".join(contents(built / "shards").values())


# ---------------------------------------------------------------- the same bytes

def test_a_second_run_changes_nothing(built, tmp_path):
    shutil.copytree(built / "shards", tmp_path / "s")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()}
    done = build(built, tmp_path / "s")
    assert done.kept == done.shards == 6
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s").iterdir()} == before


def test_threads_give_the_same_bytes(built, tmp_path):
    build(built, tmp_path / "s", scheduler="threads", workers=3)
    assert contents(tmp_path / "s") == contents(built / "shards")
