"""What goes into a bank, and which scenes are held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olatkit.envmap import EnvironmentMap
from olatkit.io.banks import LightingBank
from olatkit.render.bank import bank_sheet, hold_out, make_entry, scene_name

FLOAT32 = 1e-6  # maps are stored in float32


def random_map(height: int, width: int, seed: int = 0) -> EnvironmentMap:
    return EnvironmentMap(np.exp(np.random.default_rng(seed).normal(0, 3, (height, width, 3))).astype(np.float32))


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 150), width=st.integers(1, 300), seed=st.integers(0, 99))
def test_entries_have_mean_luminance_1_and_the_map_s_power(height: int, width: int, seed: int) -> None:
    environment = random_map(height, width, seed)
    lighting, fine, scale = make_entry(environment)
    for picture, grid in ((lighting, (16, 16)), (fine, (64, 128))):
        entry = EnvironmentMap(picture)
        assert entry.shape == grid
        assert entry.mean_luminance == pytest.approx(1, rel=FLOAT32)
        np.testing.assert_allclose(entry.power / scale, environment.power, rtol=FLOAT32)
    np.testing.assert_allclose(lighting, environment.downsample().radiance * scale, rtol=1e-5)


@pytest.mark.parametrize("name, scene", [
    ("city.hdr", "city"), ("City_4k.exr", "city"), ("outdoor/city-16K.hdr", "city"), ("city_2048x1024_hdri.exr", "city"),
    ("city_2.hdr", "city_2"), ("4k.hdr", "4k"), ("old_hall_latlong.exr", "old_hall"),
    ("venice sunset 1k.hdr", "venice sunset"),
])
def test_variants_of_a_file_show_one_scene(name: str, scene: str) -> None:
    assert scene_name(name) == scene


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=40), share=st.floats(0, 0.7), seed=st.integers(0, 1000)
)
def test_scenes_are_held_out_whole_and_no_more_than_asked(counts: list[int], share: float, seed: int) -> None:
    scenes = [f"scene{i}" for i, count in enumerate(counts) for _ in range(count)]
    test = hold_out(scenes, share, seed=seed)
    for scene in set(scenes):
        assert len({bool(t) for s, t in zip(scenes, test, strict=True) if s == scene}) == 1
    assert test.sum() <= round(share * len(scenes))
    assert test.sum() > round(share * len(scenes)) - 4  # the largest scene did not fit
    assert not test.all()
    order = np.random.default_rng(0).permutation(len(scenes))
    np.testing.assert_array_equal(hold_out([scenes[i] for i in order], share, seed=seed), test[order])


def test_a_growing_bank_keeps_most_scenes_where_they_are() -> None:
    small, large = [f"s{i}" for i in range(300)], [f"s{i}" for i in range(330)]
    moved = (hold_out(small, 0.2) != hold_out(large, 0.2)[:300]).mean()
    assert moved < 0.05


def test_scenes_can_be_held_out_by_name() -> None:
    scenes = ["a", "a", "b", "c", "d", "e"]
    test = hold_out(scenes, 0, always=["a"])
    assert test.tolist() == [True, True, False, False, False, False]
    assert hold_out(scenes, 0.5, always=["a"]).sum() == 3
    for wrong, message in (({"always": ["z"]}, "no map shows the scene 'z'"), ({"always": "abcde"}, "none is left")):
        with pytest.raises(ValueError, match=message):
            hold_out(scenes, 0, **wrong)
    with pytest.raises(ValueError, match="held out is 1, expected"):
        hold_out(scenes, 1)


def small_bank(count: int = 5) -> LightingBank:
    entries = [make_entry(random_map(64, 128, seed)) for seed in range(count)]
    return LightingBank(
        np.stack([e[0] for e in entries]), np.stack([e[1] for e in entries]), np.array([e[2] for e in entries]),
        tuple(f"map{i}.hdr" for i in range(count)), tuple(f"map{i}" for i in range(count)),
        np.arange(count) % 2 == 1, tuple(str(i) * 64 for i in range(count)), ("",) * count, {"seed": 0},
    )


def test_parts_of_a_bank() -> None:
    bank = small_bank()
    assert len(bank) == 5
    assert bank.part("train").names == ("map0.hdr", "map2.hdr", "map4.hdr")
    assert bank.part("test").scenes == ("map1", "map3")
    np.testing.assert_array_equal(bank.part("test").fine, bank.fine[[1, 3]])
    for i in range(5):
        np.testing.assert_allclose(bank.power[i], random_map(64, 128, i).power, rtol=FLOAT32)
    with pytest.raises(ValueError, match="split is 'val'"):
        bank.part("val")
    with pytest.raises(ValueError, match="no map of the bank is for 'test'"):
        bank.part("train").part("test")


@pytest.mark.parametrize("change, message", [
    ({"lighting": np.zeros((5, 16, 32, 3))}, r"lighting has shape \(5, 16, 32, 3\)"),
    ({"fine": np.full((5, 64, 128, 3), np.nan)}, "fine holds radiance that is negative or not finite"),
    ({"scale": np.ones(4)}, "4 values of scale for 5 maps"),
])
def test_what_is_no_bank(change: dict, message: str) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match=message):
        replace(small_bank(), **change)


def test_the_sheet_has_a_place_for_every_map() -> None:
    assert bank_sheet(small_bank(), columns=2).shape == (3 * 128 + 2 * 4, 2 * 386 + 4, 3)
