"""Explain an environment map: how bright, where its light comes from, what is odd about it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olatkit.color import luminance
from olatkit.envmap import EnvironmentMap
from olatkit.geometry import direction_to_angles, latlong_directions
from olatkit.io.facts import Description, Fact, file_size, number, size, text

# A sun with its glare, or a lamp.
SPOT_DEG = 5.0


def describe_map(path: Path, environment: EnvironmentMap, notes: Sequence[str]) -> Description:
    """Facts of a map that has been read and turned into the package's orientation; every note is one fact."""
    height, width = environment.shape
    light = luminance(environment.radiance) * environment.solid_angles[:, None]
    directions = latlong_directions(height, width)
    row, column = np.unravel_index(int(luminance(environment.radiance).argmax()), light.shape)
    brightest, peak = directions[row, column], float(luminance(environment.radiance[row, column]))
    elevation_deg, azimuth_deg = direction_to_angles(brightest)
    spot = light[directions @ brightest > np.cos(np.radians(SPOT_DEG))].sum() / light.sum()
    centre = np.einsum("hw,hwk->k", light, directions) / light.sum()
    dark = luminance(environment.radiance) <= 0
    facts = [
        size("map", width, height, "size_px"),
        Fact("power", " ".join(f"{v:.5g}" for v in environment.power) + " radiance x sr (R G B)", "power",
             environment.power.tolist()),
        number("mean luminance", environment.mean_luminance, "(over the sphere)", "mean_luminance", ".4g"),
        number("peak luminance", peak, "", "peak_luminance", ".5g"),
        number("peak over mean", float(np.log2(peak / environment.mean_luminance)), "stops", "peak_over_mean_stops", ".3g"),
        Fact("brightest light", f"elevation {elevation_deg:.1f}, azimuth {azimuth_deg:.1f} degrees (0 camera, 90 right)",
             "brightest_deg", [elevation_deg, azimuth_deg]),
        number("within 5 degrees of it", 100 * float(spot), "% of the light", "spot_percent", ".3g"),
        Fact("light comes from", f"({centre[0]:+.2f}, {centre[1]:+.2f}, {centre[2]:+.2f}) on average (right, up, camera)",
             "mean_direction", centre.tolist()),
        number("black", 100 * float((dark * environment.solid_angles[:, None]).sum() / (4 * np.pi)), "% of the sphere",
               "black_percent", ".3g"),
    ]
    if notes:
        facts += [text("note", note, f"note_{i}") for i, note in enumerate(notes)]
    else:
        facts.append(text("notes", "nothing odd", "note"))
    return Description("environment map (lat-long)", (*facts, file_size(path.stat().st_size)))
