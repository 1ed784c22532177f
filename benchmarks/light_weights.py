"""Light weights and 16x16 maps of olatkit beside the rules that public OLAT tools use, on the same lights and maps.

The rules are written here from their descriptions; nothing of those tools runs. Published masks of a dome, one per light,
are replaced by the light's Voronoi cell: every rule that says "pixels of the mask" is given the pixels nearest to the
light on the same 512x256 map. White sky: weights of a map of ones against the exact areas of spherical Voronoi cells,
||s w - a|| / ||a|| with the best common factor s. Sun: a disc of 0.53 degrees of constant power, at places spread
evenly over the sphere; its brightness is the sum of the weights, relative to its mean over all places.

    python benchmarks/light_weights.py [--rig dome_331.csv] [--suns 2000]

Without --rig the lights of $OLATKIT_TEST_DATA/rigs/dome_331.csv are used, or else 331 even ones.
"""

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import SphericalVoronoi

from olatkit.envmap import EnvironmentMap
from olatkit.geometry import fibonacci_directions, latlong_directions, row_solid_angles
from olatkit.io.documents import read_rig
from olatkit.render.weights import METHODS, cell_matrix
from olatkit.rig import LightRig, default_rig

HEIGHT, WIDTH = 256, 512
SUN_RADIUS_DEG = 0.265
ELEVATIONS_DEG = (5, 20, 45, 60, 70, 75, 80, 88)


def choose_rig(path):
    """The dome's published directions, or even ones."""
    data = os.environ.get("OLATKIT_TEST_DATA")
    path = path or (Path(data) / "rigs" / "dome_331.csv" if data else None)
    return read_rig(path) if path and Path(path).is_file() else default_rig(331)


def owners(rig):
    """Index of the light nearest to every pixel, (HEIGHT, WIDTH)."""
    return (latlong_directions(HEIGHT, WIDTH) @ rig.directions.T).argmax(axis=-1)


def per_cell(label, values, lights):
    """Sum of per-pixel values over every cell as a matrix (lights, pixels)."""
    matrix = np.zeros((lights, label.size))
    matrix[label.ravel(), np.arange(label.size)] = np.broadcast_to(values, label.shape).ravel()
    return matrix


def mask_mean(rig):
    """HumanOLAT, OLATverse: plain mean of the pixels of each light's mask."""
    matrix = per_cell(owners(rig), 1.0, len(rig))
    return matrix / matrix.sum(axis=1, keepdims=True)


def region_mean_of_resized_labels(rig):
    """Lotus / LSX loader: mean over each region of a label map that was resized bilinearly, over the number of lights."""
    small = cv2.resize(owners(rig).astype(np.float32), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    matrix = per_cell(np.clip(np.round(label), 0, len(rig) - 1).astype(int), 1.0, len(rig))
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) / len(rig)


def planar_voronoi(rig):
    """marcelsan: nearest light in the plane of the map, no wrap at the seam, times sin θ of the light.

    Its division by the largest sum of a channel is a common factor and left out.
    """
    u = 0.5 * (1 + np.arctan2(rig.directions[:, 0], -rig.directions[:, 2]) / np.pi) * WIDTH
    theta = np.arccos(rig.directions[:, 1])
    places = np.stack([u, theta / np.pi * HEIGHT], axis=1)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    label = np.concatenate([((part[:, None] - places) ** 2).sum(-1).argmin(1) for part in np.array_split(pixels, 64)])
    return per_cell(label.reshape(HEIGHT, WIDTH), 1.0, len(rig)) * np.sin(theta)[:, None]


def sine_sum(rig):
    """FaceOLAT: sum of radiance times sin θ dθ dφ over each cell."""
    theta = np.pi * (np.arange(HEIGHT) + 0.5) / HEIGHT
    return per_cell(owners(rig), np.sin(theta)[:, None] * np.pi / HEIGHT * 2 * np.pi / WIDTH, len(rig))


def cones(rig):
    """POLAR (as reported): integral over a cone of 30 degrees around each light, the total scaled to the map's power.

    The scale differs from map to map; it is applied by :func:`brightness`.
    """
    inside = latlong_directions(HEIGHT, WIDTH).reshape(-1, 3) @ rig.directions.T > np.cos(np.radians(30))
    return inside.T * np.repeat(row_solid_angles(HEIGHT, WIDTH), WIDTH)


def ours(method):
    """olatkit's methods."""
    return lambda rig: cell_matrix(rig, HEIGHT, WIDTH, method=method)


RULES = {
    "mean over the mask (HumanOLAT)": mask_mean,
    "mean, labels resized (LSX)": region_mean_of_resized_labels,
    "planar Voronoi x sin (marcelsan)": planar_voronoi,
    "sum x sin (FaceOLAT)": sine_sum,
    "30-degree cones (POLAR)": cones,
    **{f"olatkit {method}": ours(method) for method in METHODS},
}


def sun_map(direction, height, width, power=1.0, samples=8):
    """Pixels (indices) and radiance of a disc of constant power; pixels are covered in parts."""
    theta, phi = np.arccos(direction[1]), np.arctan2(direction[0], -direction[2])
    reach = np.radians(SUN_RADIUS_DEG) * 1.02
    top, bottom = (int(np.clip(angle / np.pi * height, 0, height - 1)) for angle in (theta - reach, theta + reach))
    rows = np.arange(top, bottom + 1)
    wide = np.pi if np.sin(theta) <= np.sin(reach) else np.arcsin(min(1, np.sin(reach) / np.sin(theta)))
    middle, half = (phi / np.pi + 1) / 2 * width, wide / (2 * np.pi) * width + 1
    columns = np.unique(np.arange(int(np.floor(middle - half)), int(np.ceil(middle + half)) + 1) % width)
    part = (np.arange(samples) + 0.5) / samples
    v = ((rows[:, None] + part) / height)[:, None, :, None] * np.pi
    u = (((columns[:, None] + part) / width)[None, :, None, :] * 2 - 1) * np.pi
    cosine = np.cos(v) * direction[1] + np.sin(v) * (np.sin(u) * direction[0] - np.cos(u) * direction[2])
    cover = ((cosine > np.cos(np.radians(SUN_RADIUS_DEG))) * np.sin(v)).mean(axis=(2, 3))
    cover /= np.sin(v).mean(axis=(2, 3))
    light = cover * row_solid_angles(height, width)[rows][:, None]
    pixels = rows[:, None] * width + columns
    return pixels.ravel(), (cover * power / light.sum()).ravel()


def brightness(matrix, suns, normalise):
    """Sum of the weights of every sun; ``normalise`` scales each to its power."""
    totals = np.asarray(matrix.sum(axis=0)).ravel()
    found = np.array([totals[pixels] @ radiance for pixels, radiance in suns])
    return np.ones_like(found) if normalise else found / found.mean()


def white_sky(matrix, areas):
    """RMS error and largest error of a light [%] after the best common factor."""
    weights = np.asarray(matrix.sum(axis=1)).ravel()
    error = weights * (weights @ areas) / (weights @ weights) - areas
    return 100 * np.linalg.norm(error) / np.linalg.norm(areas), 100 * np.abs(error / areas).max()


def print_weights(rig, count):
    """The table of rules."""
    areas = SphericalVoronoi(rig.directions).calculate_areas()
    suns = [sun_map(d, HEIGHT, WIDTH) for d in fibonacci_directions(count, 0)]
    print(f"{len(rig)} lights ('{rig.name}'), cells {areas.min():.4f} to {areas.max():.4f} sr, map {WIDTH}x{HEIGHT}, "
          f"{count} suns")
    print(f"{'rule':34s} {'white sky RMS':>14s} {'largest':>9s} {'sun p1':>8s} {'p99':>7s} {'min':>7s} {'max':>7s}")
    for name, rule in RULES.items():
        matrix = rule(rig)
        rms, largest = white_sky(matrix, areas)
        shone = brightness(matrix, suns, normalise=rule is cones)
        p1, p99 = np.percentile(shone, (1, 99))
        print(f"{name:34s} {rms:12.4f} % {largest:7.3f} % {p1:8.4f} {p99:7.4f} {shone.min():7.4f} {shone.max():7.4f}")
    for lights, shown in ((default_rig(), "114 even lights"), (hemisphere(), "hemisphere of 100")):
        cells = SphericalVoronoi(lights.directions).calculate_areas()
        rms, largest = white_sky(cell_matrix(lights, 16, 16), cells)
        print(f"olatkit voronoi from 16x16, {shown:18s}: white sky RMS {rms:.4f} %, largest {largest:.4f} %")


def hemisphere():
    """Upper half of 200 even lights."""
    directions = fibonacci_directions(200)
    return LightRig("hemisphere", directions[directions[:, 1] > 0])


RESIZES = {
    "OpenCV INTER_AREA": cv2.INTER_AREA, "OpenCV INTER_LINEAR": cv2.INTER_LINEAR,
    "OpenCV INTER_NEAREST": cv2.INTER_NEAREST, "OpenCV INTER_CUBIC": cv2.INTER_CUBIC,
    "OpenCV INTER_LANCZOS4": cv2.INTER_LANCZOS4,
}


def print_downsampling(azimuths):
    """Energy that a sun keeps on the way from 2048x1024 to 16x16."""
    height, width = 1024, 2048
    small = row_solid_angles(16, 16)[:, None]
    kept = {name: [] for name in (*RESIZES, "olatkit")}
    for elevation_deg in ELEVATIONS_DEG:
        rows = {name: [] for name in kept}
        for k in range(azimuths):
            e, a = np.radians(elevation_deg), 2 * np.pi * (k + 0.31) / azimuths
            pixels, radiance = sun_map(np.array([np.cos(e) * np.sin(a), np.sin(e), -np.cos(e) * np.cos(a)]), height, width)
            image = np.zeros(height * width, np.float32)
            image[pixels] = radiance
            image = image.reshape(height, width)
            for name, kind in RESIZES.items():
                rows[name].append((cv2.resize(image, (16, 16), interpolation=kind) * small).sum())
            whole = EnvironmentMap(np.repeat(image[..., None], 3, axis=2))
            rows["olatkit"].append(whole.downsample(16, 16).power[0] / whole.power[0])
        for name, values in rows.items():
            kept[name].append((min(values), float(np.mean(values)), max(values)))
    print(f"\nenergy of a sun kept from {width}x{height} to 16x16, mean over {azimuths} azimuths, by elevation")
    print(f"{'':22s} " + " ".join(f"{e:>7d}°" for e in ELEVATIONS_DEG) + "   min ... max of all")
    for name, values in kept.items():
        print(f"{name:22s} " + " ".join(f"{mean:8.4f}" for _, mean, _ in values)
              + f"   {min(v[0] for v in values):.4f} ... {max(v[2] for v in values):.4f}")


def print_cache(rig):
    """What building the cells costs, and what the cache saves."""
    print(f"\nlight_weights with {len(rig)} lights, first call and later ones, ms")
    cell_matrix(default_rig(6), 8, 8)  # compiles
    rig = LightRig("fresh", fibonacci_directions(len(rig), 3))
    for method in METHODS:
        line = f"{method:12s}"
        for size in ((16, 16), (64, 128), (256, 512)):
            radiance = np.ones((size[0] * size[1], 3))
            start = time.perf_counter()
            cell_matrix(rig, *size, method=method) @ radiance
            first = time.perf_counter() - start
            start = time.perf_counter()
            for _ in range(5):
                cell_matrix(rig, *size, method=method) @ radiance
            later = (time.perf_counter() - start) / 5
            line += f"   {size[1]}x{size[0]}: {1e3 * first:7.1f} {1e3 * later:6.2f}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rig", type=Path)
    parser.add_argument("--suns", type=int, default=2000)
    parser.add_argument("--azimuths", type=int, default=18)
    args = parser.parse_args()
    rig = choose_rig(args.rig)
    print_cache(rig)
    print()
    print_weights(rig, args.suns)
    print_downsampling(args.azimuths)


if __name__ == "__main__":
    main()
