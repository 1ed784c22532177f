"""Rendering a take on disk against decoding it: how close the picture's work hides behind the codec's.

The take is random walks of a noisy picture, as hard to compress as a real one. Reading every imageset of it, one
after the other, is the bound; `olatkit render` reads the next imageset while it relights the current one and writes the
video. The files are in the page cache. Peak memory is that of rendering all imagesets and of rendering a quarter of
them (Linux only).

    python benchmarks/render_take.py [--size 512] [--lights 114] [--imagesets 12] [--repeats 3] [--json PATH]
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

import olatkit
from olatkit.envmap import EnvironmentMap
from olatkit.io import codes
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.jobs.render import RenderConfig, render_take
from olatkit.rig import default_rig


def write_take(path: Path, size: int, lights: int, count: int) -> None:
    """A take of shaded noise: a lit disc of texture under every light, with the noise of a sensor."""
    rng = np.random.default_rng(0)
    header = TakeHeader(default_rig(lights), None, (size, size), (0, 0, size, size), 25.0)
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    right, down = np.meshgrid(axis, axis)
    front = np.sqrt(np.maximum(1 - right**2 - down**2, 0))
    normals = np.stack([right, -down, front], axis=-1) * (front > 0)[..., None]
    shading = np.maximum(normals @ header.rig.directions.T, 0).transpose(2, 0, 1)
    albedo = 0.2 + 0.5 * rng.random((size, size, 3))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        parts = []
        for i in range(count):
            light = shading[..., None] * np.roll(albedo, i, axis=1)
            noisy = light + rng.standard_normal(light.shape, np.float32) * np.sqrt(light / 20_000 + 1e-6)
            stored, _ = codes.encode(noisy.astype(np.float32))
            rows = ImagesetRows(
                full=light.sum(axis=0).astype(np.float32), quality=np.zeros(lights, np.uint8),
                observations=np.zeros((lights, 2), np.int32), weights_after=np.zeros(lights, np.float32),
                reference_frames=i, reference_ticks=40 * i, times_s=i / 25, stats={},
            )
            parts.append(Path(folder) / f"{i}.h5")
            write_part(parts[-1], stored, rows, header, "benchmark")
        merge_parts(parts, path, header, overwrite=True)


def render(take_path: Path, out: Path, count: int) -> None:
    """The whole command's work for the first ``count`` imagesets."""
    take = FirstImagesets(take_path, count)
    sky = EnvironmentMap(np.random.default_rng(1).exponential(1, (64, 128, 3)).astype(np.float32), "sky")
    render_take(take, [sky], out, RenderConfig(imageset="all"), overwrite=True)


class FirstImagesets:
    """The beginning of a take, with an exposure that need not be found."""

    kappa = 1.0

    def __init__(self, path: Path, count: int) -> None:
        self._take, self._count = olatkit.open_take(path), count
        self.rig, self.shape, self.box, self.path = self._take.rig, self._take.shape, self._take.box, path

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> olatkit.Imageset:
        return self._take[index]

    def read_box(self, index: int) -> np.ndarray:
        return self._take.read_box(index)


def peak_memory_mb(take_path: Path, out: Path, count: int) -> float:
    """Peak memory of a process of its own that renders ``count`` imagesets."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_render_and_weigh, (take_path, out, count))


def _render_and_weigh(take_path: Path, out: Path, count: int) -> float:
    render(take_path, out, count)
    # The kernel's own count of this process; getrusage would also count the process that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels of a side")
    parser.add_argument("--lights", type=int, default=114)
    parser.add_argument("--imagesets", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the results here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "take.olat.h5", Path(folder) / "film.mp4"
        write_take(path, given.size, given.lights, given.imagesets)
        take = FirstImagesets(path, given.imagesets)
        render(path, out, 2)  # compiles
        decoding, rendering = [], []
        for _ in range(given.repeats):
            start = time.perf_counter()
            for i in range(given.imagesets):
                take.read_box(i)
            decoding.append(time.perf_counter() - start)
            start = time.perf_counter()
            render(path, out, given.imagesets)
            rendering.append(time.perf_counter() - start)
        quarter = max(given.imagesets // 4, 3)
        memory = {count: peak_memory_mb(path, out, count) for count in (quarter, given.imagesets)}
        size_mb = path.stat().st_size / 1e6
    each = [1e3 * min(times) / given.imagesets for times in (decoding, rendering)]
    print(f"{given.imagesets} imagesets of {given.lights} x {given.size} x {given.size}, {size_mb:.0f} MB on disk")
    print(f"decode {each[0]:.0f} ms, render to H.264 {each[1]:.0f} ms per imageset: {each[1] / each[0]:.2f} of decoding")
    print("peak memory: " + ", ".join(f"{count} imagesets {mb:.0f} MB" for count, mb in memory.items()))
    if given.json:
        given.json.write_text(json.dumps({"decode_ms": each[0], "render_ms": each[1], "memory_mb": memory}))


if __name__ == "__main__":
    main()
