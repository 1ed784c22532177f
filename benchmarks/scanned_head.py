"""A scanned head that another program filmed: scores against its truth, and pictures under real environment maps.

    python benchmarks/scanned_head.py [DATA] [--set motion.shading=true] [--lost 0.02] [--maps studio,city,...] [-o OUT]

DATA (or the variable OLATKIT_TEST_DATA) holds ``stage_perrysmith/`` (capture.cine, rig.json, schedule.json, truth.h5)
and ``hdri/``. The stream is ingested with nothing but its rig and schedule: as it is by default, without compensation,
with every --set alone, and with every --lost share of its frames left out. OUT/relit.png shows one row for each map: the
map on two balls, the exact picture, that of the default take, and eight times their difference.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import h5py
import numpy as np

import olatkit
from olatkit.capture.config import IngestConfig
from olatkit.cli.settings import read_config
from olatkit.imageset import Imageset
from olatkit.io.cine_writer import write_cine
from olatkit.io.images import write_png
from olatkit.io.takes import Take
from olatkit.jobs.ingest import ingest
from olatkit.render.lighting_ball import lighting_ball
from olatkit.render.pictures import contact_sheet, find_exposure, to_display
from olatkit.render.weights import cell_areas

MAPS = ("studio", "city", "forest", "sunset", "night")
STAGE, HDRI = "stage_perrysmith", "hdri"


def truth_pairs(take: Take, folder: Path):
    """Of every instant with truth: imageset index, coverage (H, W) uint8 and exact images (L, H, W, 3) in codes."""
    index = {int(tick): i for i, tick in enumerate(take.reference_ticks)}
    with h5py.File(folder / "truth.h5") as truth:
        unit = np.float32(truth["olat"].attrs["codes_per_unit"])
        for i, tick in enumerate(truth["r_tick"][:].tolist()):
            if tick not in index:
                raise SystemExit(f"no imageset at tick {tick}")
            yield index[tick], truth["mask"][i], truth["olat"][i].astype(np.float32) * unit


def score(take: Take, folder: Path) -> tuple[float, float, float]:
    """PSNR [dB] in the dilated silhouette and 3 px inside it, mean over the instants, and codes per unit of radiance.

    Both sides are divided by the 99.5th percentile of the truth and clipped to [0, 1]; one scale for the whole take is
    fitted on values below the camera's full scale.
    """
    instants = []
    for i, cover, want in truth_pairs(take, folder):
        outer = cv2.dilate((cover > 5).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        inner = cv2.erode(outer.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        peak = np.percentile(want[:, cover > 127], 99.5)
        # Inside the silhouette only: nothing else is scored.
        instants.append((take[i].radiance[:, outer], want[:, outer], inner[outer], float(peak)))
    top = max(peak for *_, peak in instants)
    products = [(got[want < 4000].astype(float), want[want < 4000]) for got, want, _, _ in instants]
    scale = sum((got * want).sum() for got, want in products) / sum((got**2).sum() for got, _ in products)
    levels = []
    for got, want, inner, _ in instants:
        error = np.square(np.clip(got * np.float32(scale) / top, 0, 1) - np.clip(want / top, 0, 1))
        levels.append([-10 * np.log10(error[:, part].mean(dtype=float)) for part in (slice(None), inner)])
    everywhere, inside = np.mean(levels, axis=0)
    return float(everywhere), float(inside), float(scale)


def relit_sheet(take: Take, folder: Path, maps: list[Path], codes_per_unit: float) -> np.ndarray:
    """Rows of map, exact picture, picture of the take and difference; prints the PSNR of every row."""
    i, cover, want = list(truth_pairs(take, folder))[-1]
    imageset = take[i]
    truth = np.minimum(want / np.float32(codes_per_unit), 1)
    got = np.minimum(imageset.radiance, 1)
    exact = Imageset(truth, imageset.full, imageset.time_s, imageset.quality)
    cells, pictures, labels = cell_areas(take.rig), [], []
    for path in maps:
        env = olatkit.read_environment(path)
        weights = olatkit.light_weights(env.downsample(16, 16), take.rig)
        exposure = find_exposure(exact, cells) / env.mean_luminance
        shown = [to_display(olatkit.relight(images, weights), exposure) for images in (truth, got)]
        ball = to_display(lighting_ball(env), 0.5 / env.mean_luminance)
        difference = np.abs(shown[0].astype(int) - shown[1])
        error = np.mean((difference[cover > 127] / 255.0) ** 2)
        print(f"{path.name:16s} relit, sRGB: {-10 * np.log10(error):.1f} dB", flush=True)
        pictures += [_fit(ball, shown[0].shape), *shown, np.minimum(8 * difference, 255).astype(np.uint8)]
        labels += [path.stem, "exact", "take", "8 x difference"]
    return contact_sheet(pictures, 4, labels)


def lose_frames(folder: Path, share: float, out: Path, seed: int = 0) -> Path:
    """Write the take without a share of its frames, drawn at random from all but the instants with truth."""
    stream = olatkit.open_stream(folder / "capture.cine")
    with h5py.File(folder / "truth.h5") as truth:
        others = np.setdiff1d(np.arange(len(stream)), truth["r"][:])
    lost = np.random.default_rng(seed).choice(others, round(share * len(stream)), replace=False)
    kept = np.setdiff1d(np.arange(len(stream)), lost)
    write_cine(
        out, (stream.read(int(i), int(i) + 1)[0] for i in kept), frame_rate_hz=stream.frame_rate_hz, bayer=stream.bayer,
        black_level=int(stream.black_level), white_level=int(stream.white_level), times_s=stream.times_s[kept],
    )
    return out


def _fit(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A picture reduced or enlarged to fit into another's shape, in its middle."""
    scale = min(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
    height, width = (max(1, int(side * scale)) for side in picture.shape[:2])
    out = np.zeros(shape, np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    out[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=os.environ.get("OLATKIT_TEST_DATA"))
    parser.add_argument("--set", dest="chosen", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--lost", action="append", type=float, default=[], metavar="SHARE", help="of the frames")
    parser.add_argument("--maps", default=",".join(MAPS), help="names of .hdr or .exr files of DATA/hdri")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"))
    args = parser.parse_args()
    if args.data is None or not (Path(args.data) / STAGE / "capture.cine").is_file():
        print(f"no {STAGE}/capture.cine in {args.data}; name the folder that holds it, or set OLATKIT_TEST_DATA")
        return
    folder = Path(args.data) / STAGE
    found = {path.stem: path for path in sorted((Path(args.data) / HDRI).glob("*.[he][dx]r"))}
    missing = [name for name in args.maps.split(",") if name not in found]
    if missing:
        raise SystemExit(f"no map {', '.join(missing)} in {Path(args.data) / HDRI}, which holds {', '.join(found)}")
    maps = [found[name] for name in args.maps.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        source = folder / "capture.cine"
        runs = [(source, None), (source, "motion.method=none"), *((source, setting) for setting in args.chosen)]
        runs += [(lose_frames(folder, share, Path(scratch) / f"lost_{share:g}.cine"), None) for share in args.lost]
        for k, (path, setting) in enumerate(runs):
            out = Path(scratch) / f"{k}.olat.h5"
            config = read_config(IngestConfig, None, (setting,) if setting else ())
            start = time.process_time()
            ingest(path, folder / "rig.json", folder / "schedule.json", out, config=config)
            took = time.process_time() - start
            with olatkit.open_take(out) as take:
                everywhere, inside, scale = score(take, folder)
                scores = f"all {everywhere:.2f} dB, interior {inside:.2f} dB"
                name = setting or (path.stem if path != source else "default")
                print(f"{name:28s} {scores}, {took:.0f} s of processor time", flush=True)
                if k == 0:
                    write_png(args.out / "relit.png", relit_sheet(take, folder, maps, scale), overwrite=True)
                    print(args.out / "relit.png")


if __name__ == "__main__":
    main()
