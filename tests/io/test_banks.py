"""Bank files: exact round trips, the same bytes every time, and one line for everything that is no bank."""

import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from olatkit.errors import FormatError, OutputExistsError
from olatkit.io.banks import LightingBank, read_bank, write_bank
from olatkit.io.describe import describe
from olatkit.io.describe_bank import count_notes
from olatkit.io.environments import FLAT, LAMP, TRACE


def small_bank() -> LightingBank:
    rng = np.random.default_rng(0)
    return LightingBank(
        rng.random((3, 16, 16, 3)), rng.random((3, 64, 128, 3)), np.array([0.5, 2, 1e-3]), ("a.hdr", "sub/b.exr", "ü.hdr"),
        ("a", "b", "ü"), np.array([False, True, False]), ("0" * 64, "1" * 64, "2" * 64),
        ("", "7 negative values", "the sun is flat over 9 pixels"), {"center": "-z"},
    )


def test_round_trip(tmp_path: Path) -> None:
    bank = small_bank()
    write_bank(tmp_path / "bank.h5", bank)
    again = read_bank(tmp_path / "bank.h5")
    for key in ("lighting", "fine", "scale", "test"):
        np.testing.assert_array_equal(getattr(again, key), getattr(bank, key))
    for key in ("names", "scenes", "sha256", "notes", "settings"):
        assert getattr(again, key) == getattr(bank, key)
    write_bank(tmp_path / "again.h5", again)
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "bank.h5").read_bytes()
    with pytest.raises(OutputExistsError, match=r"bank\.h5"):
        write_bank(tmp_path / "bank.h5", bank)


def test_stock_hdf5_reads_it(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank.h5", small_bank())
    with h5py.File(tmp_path / "bank.h5") as file:
        assert file["fine"].compression == "gzip"
        assert file["name"].asstr()[2] == "ü.hdr"


@pytest.mark.parametrize("change, message", [
    (lambda f: f.attrs.modify("version", 0), "lighting bank of version 0, this olatkit reads version 1; build it again"),
    (lambda f: f.attrs.modify("version", 2), "lighting bank of version 2"),
    (lambda f: f.attrs.__delitem__("version"), "lighting bank of version none"),
    (lambda f: f.attrs.modify("format", "olatkit-take"), "no lighting bank but a take, expected"),
    (lambda f: f.attrs.__delitem__("format"), "no lighting bank but an HDF5 file of another program"),
    (lambda f: f.__delitem__("fine"), "damaged lighting bank"),
    (lambda f: f.attrs.modify("settings", "{"), "damaged lighting bank"),
    (lambda f: (f.__delitem__("scale"), f.create_dataset("scale", data=np.ones(2))), "2 values of scale for 3 maps"),
    (lambda f: f["lighting"].__setitem__(0, np.nan), "negative or not finite"),
])
def test_banks_that_cannot_be_read(tmp_path: Path, change, message: str) -> None:
    write_bank(tmp_path / "bank.h5", small_bank())
    with h5py.File(tmp_path / "bank.h5", "r+") as file:
        change(file)
    with pytest.raises(FormatError, match=message) as error:
        read_bank(tmp_path / "bank.h5")
    assert "\n" not in str(error.value)
    assert "bank.h5" in str(error.value)


def test_files_that_are_no_banks(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file; make a bank"):
        read_bank(tmp_path / "none.h5")
    for content, kind in ((b"", "an empty file,"), (b"not hdf5 at all", "a text file,"),
                          (b"#?RADIANCE\n", "a picture, .*; 'olatkit envmap show' and")):
        (tmp_path / "b.h5").write_bytes(content)
        with pytest.raises(FormatError, match=f"no lighting bank but {kind}"):
            read_bank(tmp_path / "b.h5")
    with pytest.raises(FormatError, match="no lighting bank but a folder"):
        read_bank(tmp_path)
    write_bank(tmp_path / "bank.h5", small_bank())
    (tmp_path / "short.h5").write_bytes((tmp_path / "bank.h5").read_bytes()[:-5000])
    with pytest.raises(FormatError, match="short"):
        read_bank(tmp_path / "short.h5")


def test_info_explains_a_bank(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank.h5", small_bank())
    found = describe(tmp_path / "bank.h5")
    facts = {fact.key: fact for fact in found.facts}
    assert found.kind == "lighting bank"
    assert facts["split"].value == {"train": 2, "test": 1}
    assert facts["odd_maps"].value == {"flat": 1, "other": 1}
    assert facts["odd_maps"].text == "1 with a clipped sun or a small, evenly bright lamp, 1 with something else"
    listed = {fact.label.strip(): fact.text for fact in found.facts if fact.key.startswith("note_")}
    assert listed == {"sub/b.exr": "7 negative values", "ü.hdr": "the sun is flat over 9 pixels"}
    assert [item["split"] for item in facts["files"].value] == ["train", "test", "train"]
    assert sys.getsizeof(facts["files"].text) < 1000
    assert not {"lamp_maps", "trace_maps", "not_listed"} & facts.keys()


def test_traces_of_lossy_files_are_counted_and_long_lists_cut(tmp_path: Path) -> None:
    bank = small_bank().take([0] * 20)
    traces = f"5 {TRACE} values set to 0 (1e-07 of the whole power)"
    write_bank(tmp_path / "bank.h5", replace(bank, notes=(*[traces] * 5, *["its primaries are odd"] * 15)))
    facts = {fact.key: fact for fact in describe(tmp_path / "bank.h5").facts}
    assert facts["odd_maps"].value == {"flat": 0, "other": 15}
    assert facts["trace_maps"].text.startswith("5 maps with slightly negative values")
    assert sum(key.startswith("note_") for key in facts) == 12
    assert facts["not_listed"].value == 3


def test_a_bank_of_studios_is_told_calmly() -> None:
    """Softboxes are counted, and no sun is suspected; a map may have several things to tell."""
    lamp = f"the brightest light (…) {LAMP} 114 pixels, 17 degrees across, at 78.51, as a softbox is (a window …)"
    several = f"7 negative values set to 0; {lamp}; 3 {TRACE} values"
    notes = ("", lamp, several, f"the brightest light {FLAT} 5 pixels: a clipped sun")
    assert count_notes(notes) == {"lamp": 2, "other": 1, "flat": 1, "trace": 1}
