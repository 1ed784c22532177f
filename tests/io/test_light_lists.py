"""Lists of lights: formats, names, axes, and what is refused."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olatkit.errors import ConfigError, FormatError
from olatkit.geometry import fibonacci_directions
from olatkit.io.documents import read_rig, write_rig
from olatkit.io.light_lists import LightList, make_rig, parse_axes, read_light_list, write_lp
from olatkit.rig import LightRig

LIGHTS = fibonacci_directions(7)
OURS = "x-right,y-up,z-to-camera"


def test_lp_round_trip(tmp_path: Path) -> None:
    names = [f"a picture {i}.jpg" for i in range(7)]
    write_lp(tmp_path / "a.lp", names, LIGHTS)
    found = read_light_list(tmp_path / "a.lp")
    assert found.pictures == tuple(names)
    assert np.abs(found.vectors - LIGHTS).max() < 1e-8
    # The same list is a rig for every other command.
    assert np.abs(read_rig(tmp_path / "a.lp").directions - LIGHTS).max() < 1e-8


@pytest.mark.parametrize(
    "line",
    [r"C:\shoot one\IMG_1.JPG 0.5 -0.5 .7071", "/data/x/IMG_1.JPG\t0.5\t-0.5\t7.071e-1", '"IMG_1.JPG", 0.5,-0.5,0.7071'],
)
def test_lp_as_tools_write_it(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.lp").write_text(f"1\r\n{line}\r\n\r\n")
    found = read_light_list(tmp_path / "a.lp")
    assert found.pictures == ("IMG_1.JPG",)
    assert found.vectors[0] == pytest.approx([0.5, -0.5, 0.7071])


def test_csv_and_json(tmp_path: Path) -> None:
    rows = [f"{i},{x},{y},{z},pic_{i}.png,1,0.5,2,{int(i != 3)}" for i, (x, y, z) in enumerate(LIGHTS)]
    (tmp_path / "a.csv").write_text("\n".join(["ID,X,Y,Z,File,gr,gg,gb,enabled", *reversed(rows)]))
    found = read_light_list(tmp_path / "a.csv")
    assert found.pictures == tuple(f"pic_{i}.png" for i in range(7))
    assert found.vectors == pytest.approx(LIGHTS)
    assert found.gains[0].tolist() == [1, 0.5, 2]
    assert found.enabled.tolist() == [i != 3 for i in range(7)]
    write_rig(tmp_path / "a.json", LightRig("r", LIGHTS, gains=found.gains))
    again = read_light_list(tmp_path / "a.json")
    assert (again.axes, again.has_gains) == (OURS, True)
    assert again.vectors == pytest.approx(LIGHTS)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1", "light lists end in .lp, .csv, .json"),
        ("a.lp", "", "expected the number of lights"),
        ("a.lp", "x y z\n", "expected the number of lights"),
        ("a.lp", "2\na 0 0 1\n", "first line says 2 lights, 1 follow"),
        ("a.lp", "1\na 0 0\n", "line 2: 'a 0 0', expected 'name x y z'"),
        ("a.csv", "x,y,z\n0,0,1\n", "expected file or id, x,y,z"),
        ("a.csv", "id,x,y,z\n0,0,,1\n", "line 2"),
        ("a.csv", "id,x,y,z\n0,0,0,1\n2,0,1,0\n", "ids 0 to 2, 2 different ones, expected 0 to 1, each once"),
        ("a.json", "{}", "key 'lights' holds no list"),
        ("a.json", '{"lights": [{"pos": [0, 0]}]}', "expected three numbers"),
        ("a.json", '{"lights": [{"id": 0}]}', "key 'pos' is missing; expected an object with 'pos'"),
    ],
)
def test_damaged_lists(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=message):
        read_light_list(tmp_path / name)


ALL_AXES = [
    ",".join(f"{axis}-{pair[sign]}" for axis, pair, sign in zip("xyz", order, signs, strict=True))
    for order in permutations([("right", "left"), ("up", "down"), ("to-camera", "from-camera")])
    for signs in product((0, 1), repeat=3)
]


@given(st.sampled_from(ALL_AXES))
def test_axes_are_signed_permutations(text: str) -> None:
    matrix = parse_axes(text)
    assert (matrix @ matrix.T == np.eye(3)).all()
    for axis, part in zip(np.eye(3), text.split(","), strict=True):
        place = (matrix @ axis).tolist()
        word = part.partition("-")[2]
        index, sign = {"right": (0, 1), "left": (0, -1), "up": (1, 1), "down": (1, -1), "to-camera": (2, 1),
                       "from-camera": (2, -1)}[word]
        assert place[index] == sign


def test_all_axes_differ() -> None:
    assert len({parse_axes(text).tobytes() for text in ALL_AXES}) == 48
    assert (parse_axes(OURS) == np.eye(3)).all()


@pytest.mark.parametrize("text", ["", "x-right,y-up", "x-right,y-left,z-up", "x-right,x-up,z-to-camera", "right,up,front"])
def test_bad_axes(text: str) -> None:
    with pytest.raises(ConfigError, match="expected where x, y and z point"):
        parse_axes(text)


def test_list_and_manifest_disagree() -> None:
    lights = LightList(LIGHTS, np.ones((7, 3)), np.ones(7, bool), axes=OURS)
    with pytest.raises(ConfigError, match="the list of lights says axes"):
        make_rig("r", lights, axes="x-right,y-down,z-to-camera", unit="direction")


def test_light_at_the_subject() -> None:
    lights = LightList(LIGHTS, np.ones((7, 3)), np.ones(7, bool))
    with pytest.raises(ConfigError, match="light 2 stands at"):
        make_rig("r", lights, axes=OURS, unit="m", origin=LIGHTS[2])
