"""What a rig accepts, refuses and warns about."""

import numpy as np
import pytest

from olatkit.errors import ConfigError
from olatkit.rig import LightRig, default_rig

AXES = np.eye(3)


def test_default_rig_is_even():
    rig = default_rig()
    assert len(rig) == 114
    cosine = rig.directions @ rig.directions.T - 2 * np.eye(114)
    nearest = np.degrees(np.arccos(cosine.max(axis=1)))
    assert nearest.min() > 18
    assert nearest.max() < 20
    np.testing.assert_allclose(np.linalg.norm(rig.positions, axis=1), 1.3)


@pytest.mark.parametrize("count", [1, 2, 12, 96, pytest.param(331, marks=pytest.mark.slow)])
def test_any_number_of_lights(count):
    rig = default_rig(count)
    assert len(rig) == count
    assert rig.gains.shape == (count, 3)
    assert rig.enabled.all()


def test_arrays_cannot_be_changed():
    rig = LightRig("fixed", AXES)
    for name in ("directions", "gains", "enabled"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(rig, name)[0] = 1


def test_digest_covers_everything():
    changed = [
        LightRig("a", AXES), LightRig("a", AXES[::-1]), LightRig("a", AXES, AXES),
        LightRig("a", AXES, gains=2 * np.ones((3, 3))),
        LightRig("a", AXES, enabled=[True, False, True]),
    ]
    assert len({rig.digest for rig in changed}) == len(changed)
    assert LightRig("b", AXES).digest == changed[0].digest


@pytest.mark.parametrize("given, message", [
    ({"directions": np.zeros((0, 3))}, r"shape \(0, 3\)"),
    ({"directions": np.eye(4)}, r"shape \(4, 4\)"),
    ({"directions": [[0, 0, 1], [0, 0, 2], [1, 0, 0]]}, "direction of light 1 has length 2, expected 1"),
    ({"directions": [[0, 0, 1], [0, np.nan, 1], [1, 0, 0]]}, "direction of light 1 .* finite"),
    ({"directions": [[0, 0, 1], [1, 0, 0], [0, 0, 1]]}, "lights 0 and 2 have the same direction"),
    ({"gains": np.ones((2, 3))}, r"gains have shape \(2, 3\), expected \(3, 3\)"),
    ({"gains": [[1, 1, 1], [1, 1, 1], [1, 0, 1]]}, r"gain of light 2 is \[1.0, 0.0, 1.0\], expected positive"),
    ({"gains": np.full((3, 3), np.inf)}, "gain of light 0 .* finite"),
    ({"positions": np.full((3, 3), np.nan)}, "position of light 0 .* finite"),
    ({"enabled": [True]}, r"enabled have shape \(1,\)"),
])
def test_impossible_rigs(given, message):
    with pytest.raises(ConfigError, match=message):
        LightRig(**{"name": "bad", "directions": AXES, **given})


def test_close_neighbours_and_odd_radii_are_warned_about(caplog):
    angle = np.radians(2)
    LightRig("close", [[0, 0, 1], [0, np.sin(angle), np.cos(angle)], [1, 0, 0]])
    assert "lights 0 and 1 are only 2.00 degrees apart" in caplog.text
    LightRig("odd", AXES, AXES * [[1.3], [1.3], [2.0]])
    assert "lights [2] are more than 15 % off the median radius 1.300 m" in caplog.text
