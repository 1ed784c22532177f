"""Takes on disk: parts, merge, reading, damage, sharing between threads and processes."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from olatkit.errors import FormatError, OutputExistsError
from olatkit.imageset import ONE_SIDED
from olatkit.io.codes import decode, encode
from olatkit.io.documents import rig_from_document, rig_to_document
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, part_is_whole, write_part
from olatkit.io.takes import open_take
from olatkit.io.truth_labels import write_truth_labels
from olatkit.rig import default_rig
from olatkit.schedule import grouped_schedule

LIGHTS, SHAPE, BOX = 5, (20, 30), (4, 6, 12, 16)
HEADER = TakeHeader(
    rig_from_document(rig_to_document(default_rig(LIGHTS))),
    grouped_schedule(range(LIGHTS), group=5, tracking_gain=0.2, stride=3), SHAPE, BOX, 25.0,
    notes={"phase": 3, "command": "ingest"},
)


def make_rows(i, header=HEADER):
    rng = np.random.default_rng(i)
    radiance = rng.gamma(1, 0.3, (len(header.rig), *header.box[2:], 3)).astype(np.float32)
    codes = encode(radiance)[0] if header.encoding == "sqrt12" else radiance.astype(header.encoding)
    return codes, ImagesetRows(
        rng.random((*header.box[2:], 3), np.float32), np.full(len(header.rig), ONE_SIDED * (i % 2), np.uint8),
        rng.integers(-60, 60, (len(header.rig), 2)).astype(np.int32), rng.random(len(header.rig), np.float32),
        60 + 40 * i, 60 + 40 * i, 0.06 + 0.04 * i, {"motion_px": float(i), "closure": -0.01},
    )


def write_take(folder, count=3, header=HEADER, name="take.olat.h5"):
    parts = []
    for i in range(count):
        parts.append(folder / f"{i}.h5")
        write_part(parts[-1], *make_rows(i, header), header, "digest")
    merge_parts(parts, folder / name, header)
    return folder / name


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_take(tmp_path_factory.mktemp("take"))


@pytest.mark.parametrize("encoding", ["sqrt12", "float16", "float32"])
@pytest.mark.parametrize("compression", ["bitshuffle", "gzip", "none"])
def test_everything_comes_back(tmp_path, encoding, compression):
    header = replace(HEADER, encoding=encoding, compression=compression)
    take = open_take(write_take(tmp_path, header=header))
    assert len(take) == 3
    assert take.shape == SHAPE
    assert take.box == BOX
    assert take.encoding == encoding
    assert take.rig.digest == HEADER.rig.digest
    assert take.schedule == HEADER.schedule
    assert take.notes == HEADER.notes
    assert take.stats["motion_px"].tolist() == [0, 1, 2]
    for i in range(3):
        codes, rows = make_rows(i, header)
        expected = decode(codes) if encoding == "sqrt12" else codes.astype(np.float32)
        np.testing.assert_array_equal(take.read_box(i), expected)
        np.testing.assert_array_equal(take.read_full(i), rows.full)
        np.testing.assert_array_equal(take.observations[i], rows.observations)
        np.testing.assert_array_equal(take.weights_after[i], rows.weights_after)
        assert (take.reference_frames[i], take.times_s[i]) == (rows.reference_frames, rows.times_s)


def test_imagesets_are_full_frames_with_zeros_around(path):
    take = open_take(path)
    imageset = take[1]
    top, left, h, w = BOX
    inside = np.zeros(SHAPE, bool)
    inside[top : top + h, left : left + w] = True
    assert imageset.radiance.shape == (LIGHTS, *SHAPE, 3)
    assert not imageset.radiance[:, ~inside].any()
    assert not imageset.full[~inside].any()
    np.testing.assert_array_equal(imageset.radiance[:, top : top + h, left : left + w], take.read_box(1))
    assert imageset.time_s == pytest.approx(0.1)
    assert (imageset.quality == ONE_SIDED).all()


def test_some_lights_only(path):
    take = open_take(path)
    np.testing.assert_array_equal(take.read_box(2, slice(1, 3)), take.read_box(2)[1:3])


def test_sequence_manners(path):
    take = open_take(path)
    np.testing.assert_array_equal(take[-1].radiance, take[2].radiance)
    assert [round(imageset.time_s, 2) for imageset in take] == [0.06, 0.1, 0.14]
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"imageset {index} is outside 0 to 2"):
            take[index]
    assert repr(take) == "Take('take.olat.h5', 3 imagesets, 5 lights, 30x20, box (4, 6, 12, 16))"


def test_chunks_are_copied_byte_by_byte(tmp_path):
    path = write_take(tmp_path)
    with h5py.File(path) as take:
        for i in range(3):
            with h5py.File(tmp_path / f"{i}.h5") as part:
                for light in range(LIGHTS):
                    want = part["codes"].id.read_direct_chunk((light, 0, 0, 0))
                    assert take["codes"].id.read_direct_chunk((i, light, 0, 0, 0)) == want
                want = part["full"].id.read_direct_chunk((0, 0, 0, 0))
                assert take["full"].id.read_direct_chunk((i, 0, 0, 0)) == want


def test_equal_content_gives_equal_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = write_take(tmp_path / "a"), write_take(tmp_path / "b")
    assert a.read_bytes() == b.read_bytes()
    assert (tmp_path / "a/0.h5").read_bytes() == (tmp_path / "b/0.h5").read_bytes()


def test_merge_keeps_existing_takes(tmp_path):
    path = write_take(tmp_path)
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match=r"take\.olat\.h5: already exists"):
        merge_parts([tmp_path / "0.h5"], path, HEADER)
    assert path.read_bytes() == before
    merge_parts([tmp_path / "0.h5"], path, HEADER, overwrite=True)
    assert len(open_take(path)) == 1


def test_merge_names_a_damaged_part(tmp_path):
    write_take(tmp_path)
    (tmp_path / "1.h5").write_bytes((tmp_path / "1.h5").read_bytes()[:500])
    with pytest.raises(FormatError, match=r"1\.h5: damaged part.*delete it and run again"):
        merge_parts([tmp_path / f"{i}.h5" for i in range(3)], tmp_path / "other.olat.h5", HEADER)
    assert not (tmp_path / "other.olat.h5").exists()


def test_parts_know_their_run(tmp_path):
    part = tmp_path / "0.h5"
    assert not part_is_whole(part, "digest")
    write_part(part, *make_rows(0), HEADER, "digest")
    assert part_is_whole(part, "digest")
    assert not part_is_whole(part, "other settings")
    part.write_bytes(b"torn")
    assert not part_is_whole(part, "digest")
    assert [p.name for p in tmp_path.iterdir()] == ["0.h5"]


# ---------------------------------------------------------------- damage

def test_missing_take(tmp_path):
    with pytest.raises(FormatError, match=r"gone\.olat\.h5: no such take"):
        open_take(tmp_path / "gone.olat.h5")


@pytest.mark.parametrize("content, said", [
    (b"", "not a take but an empty file"),
    (b"not HDF5 at all" * 100, r"but a text file, expected NAME\.olat\.h5, which ingest, import and"),
    ("ü".encode() * 300, "but a text file"),
    (b' {"lights": []}', "but a JSON document"),
    (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", "but a picture, .* maps are for --envmap"),
    (b"\x76\x2f\x31\x01 and so on", "but a picture"),
    (b"CI\x2c\x00", "but a Phantom .cine capture, expected .*`olatkit ingest` makes of it"),
    (b"\x00\x01\xff", r"a file of no known kind \(starts with b'\\x00\\x01\\xff'\)"),
])
def test_another_file(tmp_path, content, said):
    path = tmp_path / "x.olat.h5"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"x\.olat\.h5: .*{said}"):
        open_take(path)


def test_a_folder_is_told_what_it_holds(path, tmp_path):
    with pytest.raises(FormatError, match=r"is a folder, expected a take, NAME\.olat\.h5; `olatkit import` makes one"):
        open_take(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(FormatError, match="it holds the parts of one: run the command that makes it again"):
        open_take(tmp_path)
    for name in ("b.olat.h5", "a.olat.h5"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(FormatError, match=r"expected a take; it holds a\.olat\.h5 and 1 more$"):
        open_take(tmp_path)


@pytest.mark.parametrize("attributes, said", [
    ({"format": "olatkit-bank"}, "but a lighting bank"), ({"format": "olatkit-shard"}, "but one file of a set of shards"),
    ({"codes_per_unit": 1.0}, "but the truth of a simulated take"), ({}, "but an HDF5 file of another program"),
])
def test_other_hdf5_files_are_named(tmp_path, attributes, said):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs.update(attributes)
    with pytest.raises(FormatError, match=f"x.h5: not a take .* {said}"):
        open_take(tmp_path / "x.h5")


def test_the_truth_of_a_training_set_is_named(tmp_path):
    write_truth_labels(tmp_path / "x.h5", [0], np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4)))
    with pytest.raises(FormatError, match=r"x\.h5: not a take .* but the truth of a simulated take"):
        open_take(tmp_path / "x.h5")


def change(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


@pytest.mark.parametrize("edit, message", [
    (lambda f: f.attrs.__delitem__("format"), "not a take"),
    (lambda f: f.attrs.__setitem__("version", 2), "version 2, this olatkit reads up to 1; update it"),
    (lambda f: f.__delitem__("quality"), "dataset 'quality' is missing"),
    (lambda f: f.attrs.__delitem__("box"), "damaged take"),
    (lambda f: f.attrs.__setitem__("rig", "{"), "damaged take"),
    (lambda f: f.attrs.__setitem__("rig", "{}"), "rig: key 'lights'"),
    (lambda f: f.attrs.__setitem__("box", [0, 0, 9, 9]), r"codes have shape \(3, 5, 12, 16, 3\)"),
    (lambda f: (f.__delitem__("codes"), f.create_dataset("codes", (3, 5, 12, 16, 3), np.uint16)),
     "codes lie in chunks None, expected one for every light"),
])
def test_damaged_takes_are_refused(tmp_path, edit, message):
    path = write_take(tmp_path)
    change(path, edit)
    with pytest.raises(ValueError, match=message) as caught:
        open_take(path)
    assert "take.olat.h5" in str(caught.value)


def test_truncated_take(path, tmp_path):
    whole = path.read_bytes()
    short = tmp_path / "short.olat.h5"
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"short\.olat\.h5: damaged take: .*; copy it again"):
        open_take(short)


def test_a_broken_chunk_is_named(tmp_path):
    """Bytes inside one compressed chunk are overwritten: the take opens, that imageset does not read."""
    path = write_take(tmp_path, header=replace(HEADER, compression="gzip"))
    with h5py.File(path) as file:
        at = file["codes"].id.get_chunk_info_by_coord((1, 0, 0, 0, 0)).byte_offset
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 40)
    take = open_take(path)
    assert take[0].radiance.any()
    with pytest.raises(FormatError, match=r"take\.olat\.h5: imageset 1, light 0 cannot be read, the file is damaged"):
        take[1]


def test_a_take_that_shrinks_while_it_is_open_is_noticed(tmp_path):
    path = write_take(tmp_path)
    take = open_take(path)
    with h5py.File(path, locking=False) as file:
        at = file["codes"].id.get_chunk_info_by_coord((1, 2, 0, 0, 0)).byte_offset
    with open(path, "r+b") as file:
        file.truncate(at + 5)
    with pytest.raises(FormatError, match=r"imageset 1, light 2 cannot be read, the file is damaged: the file ends"):
        take.read_box(1)


@pytest.mark.parametrize("edit, said", [
    (lambda codes: None, "imageset 1, light 3 cannot be read, the file is damaged: it is not stored"),
    (lambda codes: codes.id.write_direct_chunk((1, 3, 0, 0, 0), bytes(12 * 16 * 3 * 2), 1), "lacks a filter"),
])
def test_a_chunk_that_is_not_there_as_it_should_be(tmp_path, edit, said):
    path = write_take(tmp_path)
    with h5py.File(path, "r+") as file:
        codes = file["codes"]
        chunks = [(place, codes.id.read_direct_chunk(place)[1])
                  for place in np.ndindex(3, LIGHTS, 1, 1, 1) if place[:2] != (1, 3)]
        del file["codes"]
        again = file.create_dataset("codes", codes_shape := (3, LIGHTS, *BOX[2:], 3), np.uint16,
                                    chunks=(1, 1, *codes_shape[2:]), **hdf5plugin.Bitshuffle(cname="lz4"))
        for place, chunk in chunks:
            again.id.write_direct_chunk(place, chunk)
        edit(again)
    with pytest.raises(FormatError, match=said):
        open_take(path).read_box(1)


# ---------------------------------------------------------------- sharing

def test_a_take_that_is_replaced_is_read_to_its_end(tmp_path):
    """Its places are those of the file that was opened, whatever lies at the path by now."""
    path = write_take(tmp_path)
    take, expected = open_take(path), open_take(path).read_box(2)
    (tmp_path / "other").mkdir()
    write_take(tmp_path / "other", header=replace(HEADER, compression="none")).replace(path)
    np.testing.assert_array_equal(take.read_box(2), expected)


def test_closing_gives_back_every_file(path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_take(path) as take:
        take.read_box(0)
        assert len(list(Path("/proc/self/fd").iterdir())) > before
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_closed_take_that_is_another_by_now_is_noticed(tmp_path):
    path = write_take(tmp_path)
    take = open_take(path)
    take.close()
    (tmp_path / "other").mkdir()
    write_take(tmp_path / "other", count=1).replace(path)
    with pytest.raises(FormatError, match=r"imageset 2, light 0 cannot be read, the file is damaged: another take lies"):
        take.read_box(2)


def test_pickle_carries_the_path_alone(path):
    take = open_take(path)
    take[0]
    data = pickle.dumps(take)
    assert len(data) < 500
    np.testing.assert_array_equal(pickle.loads(data)[2].radiance, take[2].radiance)


def test_threads_share_a_take(path):
    take = open_take(path)
    expected = [take[i].radiance.sum() for i in range(3)]
    order = np.random.default_rng(0).integers(0, 3, 60).tolist()
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda i: take[i].radiance.sum(), order))
    assert sums == [expected[i] for i in order]


def _sum_in_child(take, i, answers):
    answers.put(float(take[i].radiance.sum()))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_read_a_take_that_is_open_here(path, method):
    context = multiprocessing.get_context(method)
    take = open_take(path)
    expected = float(take[1].radiance.sum())
    answers = context.Queue()
    child = context.Process(target=_sum_in_child, args=(take, 1, answers))
    child.start()
    assert answers.get(timeout=60) == expected
    child.join(20)
    assert child.exitcode == 0
    assert float(take[1].radiance.sum()) == expected


def test_a_closed_take_opens_again(path):
    with open_take(path) as take:
        first = take[0].radiance
    np.testing.assert_array_equal(take[0].radiance, first)
