"""Explain pictures and environment maps: size, range, power, faults."""

from pathlib import Path

import numpy as np

from olatkit.color import REC709_LUMINANCE
from olatkit.geometry import latlong_directions, row_solid_angles
from olatkit.io.facts import Description, Fact, file_size, number, size, span, text
from olatkit.io.images import read_image
from olatkit.io.tags import tag_facts


def describe_picture(path: Path) -> Description:
    """An EXR, HDR, PNG, JPEG or TIFF file; a linear one twice as wide as high is taken for an environment map."""
    image = read_image(path)
    height, width = image.shape[:2]
    channels = 1 if image.ndim == 2 else image.shape[2]
    names = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[channels]
    linear = np.issubdtype(image.dtype, np.floating)
    facts = [size("picture", width, height, "size_px"), text("channels", f"{names}, {image.dtype}", "channels")]
    with path.open("rb") as file:
        tags = tag_facts(path, file.read(16))
    if not linear:
        if not tags:  # those name the curve
            facts.append(text("light", "encoded, usually sRGB: holds nothing brighter than white", "light"))
        facts.append(span("values", image, "", "values", ".6g"))
        return Description("picture", (*facts, *tags, file_size(path.stat().st_size)))
    color = (image[..., None] if channels == 1 else image[..., : min(channels, 3)]).astype(np.float64)
    facts += _range_facts(color, rendered=bool(tags))
    is_map = width == 2 * height and not tags
    if is_map and color.shape[2] == 3:
        facts += _map_facts(np.nan_to_num(np.maximum(color, 0), nan=0.0, posinf=0.0))
    kind = "environment map (lat-long)" if is_map else "linear picture"
    return Description(kind, (*facts, *tags, file_size(path.stat().st_size)))


def _range_facts(color: np.ndarray, *, rendered: bool) -> list[Fact]:
    """Peak and faults of linear values; a picture that was rendered is negative where noise is."""
    finite = color[np.isfinite(color)]
    faults = {"NaN": int(np.isnan(color).sum()), "infinite": int(np.isinf(color).sum())}
    negative = int((finite < 0).sum())
    if not rendered:
        faults["negative"] = negative
    shown = ", ".join(f"{count} {name}" for name, count in faults.items() if count) or "none"
    peak = float(finite.max()) if finite.size else float("nan")
    lowest = float(finite.min()) if finite.size else float("nan")
    facts = [number("peak", peak, "(linear)", "peak", ".5g"), number("lowest", lowest, "(linear)", "lowest", ".3g")]
    if rendered and negative:
        facts.append(Fact("negative values", f"{negative} (noise is kept)", "negative_values", negative))
    return [*facts, Fact("faulty values", shown, "faulty_values", faults)]


def _map_facts(radiance: np.ndarray) -> list[Fact]:
    """Power, mean and where the brightest light stands."""
    height, width = radiance.shape[:2]
    solid = row_solid_angles(height, width)[:, None]
    light = radiance @ REC709_LUMINANCE
    power = (radiance * solid[..., None]).sum(axis=(0, 1))
    mean = float(power @ REC709_LUMINANCE) / (4 * np.pi)
    facts = [
        Fact("power", " ".join(f"{v:.4g}" for v in power) + " radiance x sr (R G B)", "power", power.tolist()),
        number("mean luminance", mean, "(over the sphere)", "mean_luminance", ".4g"),
    ]
    if mean <= 0:
        return facts
    row, column = np.unravel_index(int(light.argmax()), light.shape)
    x, y, z = latlong_directions(height, width)[row, column]
    facts.append(Fact("brightest direction", f"({x:+.2f}, {y:+.2f}, {z:+.2f}) (right, up, to the camera)",
                      "brightest_direction", [float(x), float(y), float(z)]))
    stops = np.log2(float(light.max()) / mean)
    facts.append(number("peak over mean", float(stops), "stops", "peak_over_mean_stops", ".3g"))
    return facts
