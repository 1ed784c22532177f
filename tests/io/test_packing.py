"""The packed formats against a literal transcription of their layout, and the P10 curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.io import p10
from olatkit.io.packing import pack_p10, pack_p12l, unpack_p10, unpack_p12l

IDENTITY = np.arange(1024, dtype=np.uint16)


def read_bits(packed: bytes, bits: int) -> list[int]:
    """The definition of both formats: one long binary number, most significant bit first, cut into equal words."""
    text = "".join(f"{byte:08b}" for byte in packed)
    return [int(text[i : i + bits], 2) for i in range(0, len(text), bits)]


def groups_of(size: int, most: int = 9) -> st.SearchStrategy[bytes]:
    return st.integers(1, most).flatmap(lambda n: st.binary(min_size=n * size, max_size=n * size))


@settings(deadline=None)  # the first example compiles
@given(groups_of(3))
def test_p12l_unpacks_by_definition(packed):
    out = np.empty(len(packed) // 3 * 2, np.uint16)
    unpack_p12l(np.frombuffer(packed, np.uint8), out)
    assert out.tolist() == read_bits(packed, 12)


@settings(deadline=None)
@given(groups_of(5))  # up to 36 pixels: whole blocks of 16 and every remainder
def test_p10_unpacks_by_definition(packed):
    out = np.empty(len(packed) // 5 * 4, np.uint16)
    unpack_p10(np.frombuffer(packed, np.uint8), IDENTITY, out)
    assert out.tolist() == read_bits(packed, 10)


def test_p10_unpacks_at_any_address():
    packed = np.random.default_rng(0).integers(0, 256, 43, dtype=np.uint8)
    for start in range(4):
        out = np.empty(32, np.uint16)
        unpack_p10(packed[start : start + 40], IDENTITY, out)
        assert out.tolist() == read_bits(packed[start : start + 40].tobytes(), 10)


@settings(deadline=None)
@given(groups_of(3))
def test_p12l_packing_is_the_inverse(packed):
    pixels, again = np.empty(len(packed) // 3 * 2, np.uint16), np.empty(len(packed), np.uint8)
    unpack_p12l(np.frombuffer(packed, np.uint8), pixels)
    pack_p12l(pixels, again)
    assert again.tobytes() == packed


@settings(deadline=None)
@given(groups_of(5))
def test_p10_packing_is_the_inverse(packed):
    pixels, again = np.empty(len(packed) // 5 * 4, np.uint16), np.empty(len(packed), np.uint8)
    unpack_p10(np.frombuffer(packed, np.uint8), IDENTITY, pixels)
    pack_p10(pixels, IDENTITY, again)
    assert again.tobytes() == packed


def test_p10_curve_rises_from_black_to_white():
    curve = p10.LINEAR_OF_CODE.astype(int)
    assert curve.shape == (1024,)
    assert (np.diff(curve) >= 0).all()
    assert curve[p10.BLACK_CODE] == p10.BLACK_LEVEL == 64
    assert curve[p10.WHITE_CODE] == p10.WHITE_LEVEL == 4064
    assert curve[-1] == 4095


def test_p10_codes_are_the_nearest_entries():
    curve, values = p10.LINEAR_OF_CODE.astype(int), np.arange(4096)
    error = np.abs(curve[p10.make_code_table()] - values)
    assert (error == np.abs(curve[:, None] - values).min(axis=0)).all()
    assert (error[curve] == 0).all()  # entries come back exactly
    assert error[2:4065].max() == 4  # what the documentation of the writer promises below white


def test_p10_curve_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="read-only"):
        p10.LINEAR_OF_CODE[0] = 1


@pytest.mark.real_data
def test_p10_curve_equals_the_published_one(test_data):
    published = np.loadtxt(test_data / "cine/p10_linearisation.csv", delimiter=",", skiprows=1, dtype=int)
    assert (published[:, 0] == np.arange(1024)).all()
    assert (published[:, 1] == p10.LINEAR_OF_CODE).all()
