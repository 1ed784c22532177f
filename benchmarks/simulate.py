"""Wall time of a simulated second, of the built-in head and of a mesh; at 128 pixels on two cores at most 60 s.

    python benchmarks/simulate.py [--size 128] [--seconds 1] [--workers 2] [--mesh FILE [--texture FILE] [--zoom 1]]
        [--json FILE]

Timed is the whole command ``olatkit simulate`` with its truth, once the kernels are compiled. Without --mesh the
mesh is the built-in head's own. Then one light of that mesh is rendered at rest by the package and by Mitsuba 3: seconds
per light, how far Mitsuba's pictures are from the package's, and how far from its own with other random numbers; dB
below the 99.5th percentile of the lit samples.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from olatkit.rig import default_rig
from olatkit.simulate.subject import Subject

LIMIT_S = 60.0
LIGHTS = 12  # every tenth light or so, in the comparison with Mitsuba


def time_command(folder: Path, size: int, seconds: float, workers: int, *more: str) -> tuple[float, float]:
    """Wall time and processor time [s] of ``olatkit simulate``, after a short run that compiles."""
    line = [sys.executable, "-m", "olatkit", "simulate", str(folder), "--size", str(size), "--overwrite", *more]
    quiet: dict = {"check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*line, "--seconds", "0.01", "--truth", "0"], **quiet)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*line, "--seconds", str(seconds), "--workers", str(workers)], **quiet)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_head(path: Path, size: int) -> Path:
    """The built-in head's rest shape as OBJ, without colour."""
    model = Subject(1, (size, size), speed_px=0).model
    lines = [f"v {x:.6g} {y:.6g} {z:.6g}" for x, y, z in model.points]
    lines += [f"f {a} {b} {c}" for a, b, c in model.faces + 1]
    path.write_text("\n".join(lines))
    return path


def compare_with_mitsuba(path: Path, texture: Path | None, zoom: float, size: int) -> list[dict]:
    """Time and agreement of Mitsuba's own pictures of the mesh, diffuse and at rest."""
    from mitsuba_reference import MitsubaReference

    from olatkit.simulate.mesh import MeshSubject

    subject = MeshSubject(path, (size, size), texture=texture, zoom=zoom, speed_px=0, gloss=0.0)
    directions = default_rig().directions[:: 114 // LIGHTS][:LIGHTS]
    view = subject.view(0.0)
    subject.olat(view, directions)
    start = time.perf_counter()
    ours = subject.olat(view, directions)
    rows = [{"way": "olatkit, shadow rays", "samples": subject.supersample**2,
             "s_per_light": (time.perf_counter() - start) / len(directions)}]
    peak = np.percentile(ours[ours > 0], 99.5)

    def decibels(a: np.ndarray, b: np.ndarray) -> float:
        return float(-10 * np.log10(np.mean(np.square(np.clip(a / peak, 0, 1) - np.clip(b / peak, 0, 1)))))

    for integrator, samples in (("direct", 4), ("direct", 64), ("path", 16), ("path", 64)):
        reference = MitsubaReference(subject, integrator, samples)
        reference.render(directions[0])
        start = time.perf_counter()
        theirs = np.array([reference.render(d, seed=k) for k, d in enumerate(directions)])
        took = (time.perf_counter() - start) / len(directions)
        again = np.array([reference.render(d, seed=k + 1000) for k, d in enumerate(directions)])
        rows.append({"way": f"Mitsuba, {integrator}", "samples": samples, "s_per_light": took,
                     "to_ours_db": decibels(theirs, ours), "to_itself_db": decibels(theirs, again)})
    return rows


def in_a_process(work: Callable[..., list[dict]], *arguments: object) -> list[dict]:
    """What ``work`` returns; nothing where it aborts: old versions of LLVM do that on whole pictures of Mitsuba."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except BrokenProcessPool:
            print("LLVM here cannot compile Mitsuba's pictures: they are left out")
            return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=1.0, help="simulated time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mesh", type=Path)
    parser.add_argument("--texture", type=Path)
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    times, rows = {}, []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "take"
        times["built-in head"] = time_command(folder, args.size, args.seconds, args.workers)
        try:
            import mitsuba  # noqa: F401
        except ImportError:
            print("Mitsuba is not installed (pip install 'olatkit[sim]'): meshes are left out")
        else:
            mesh = args.mesh or write_head(Path(scratch) / "head.obj", args.size)
            more = ["--mesh", str(mesh), "--mesh-zoom", str(args.zoom)]
            more += ["--texture", str(args.texture)] if args.texture else []
            times[f"mesh {mesh.name}"] = time_command(folder, args.size, args.seconds, args.workers, *more)
            rows = in_a_process(compare_with_mitsuba, mesh, args.texture, args.zoom, args.size)
    for name, (took, processor) in times.items():
        barred = (args.size, args.seconds) == (128, 1.0)
        bar = f" (bar {LIMIT_S:g} s{', MISSED' if took > LIMIT_S else ''})" if barred else ""
        asked = f"{args.seconds:g} simulated s at {args.size} px"
        print(f"{name}: {asked} in {took:.1f} s{bar}, {processor:.1f} s of processor time")
    for row in rows:
        agreement = "".join(f"  {key[:-3].replace('_', ' ')} {row[key]:5.1f} dB" for key in row if key.endswith("_db"))
        print(f"{row['way']:22s} {row['samples']:3d} samples {1e3 * row['s_per_light']:7.1f} ms per light{agreement}")
    if args.json:
        args.json.write_text(json.dumps({"seconds": times, "mitsuba": rows}, indent=1))


if __name__ == "__main__":
    main()
