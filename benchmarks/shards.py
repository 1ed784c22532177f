"""Reading single lights: shards beside the bare codec, gzip HDF5, a file per light, Zarr and WebDataset.

All hold the same 12-bit codes of a simulated head (114 lights, sensor noise). Read are whole imagesets and windows of
a quarter of the picture, in random order, from the file cache, on one thread, into arrays that exist already; the
best of several rounds counts, in which the formats take turns. Megabytes are those of the codes as 16-bit numbers in
whole pictures; shards and Zarr need not store what is dark, so "of the tiles" counts what was really unpacked.

    python benchmarks/shards.py [--size 256] [--imagesets 6] [--rounds 5] [--folder KEEP] [--json FILE]
"""

import argparse
import ctypes
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from head_take import make_take

from olatkit.io.hdf5_files import hdf5
from olatkit.io.shard_writing import ShardWriter
from olatkit.io.shards import ShardHeader, ShardReader
from olatkit.io.takes import open_take
from olatkit.jobs.shard_pictures import read_square


def write_shard(path: Path, take, codes: np.ndarray, tile: int) -> None:
    """Only the lights, so that sizes compare."""
    count, _, size = codes.shape[:3]
    header = ShardHeader(
        take.rig, "", "head", "head", 0, count, 0, size, tile, 1.0, 0, "bitshuffle", "benchmark", {}
    )
    rows = {"quality": take.quality, "obs": take.observations, "r": take.reference_ticks}
    with ShardWriter(path, header) as writer:
        for i, one in enumerate(codes):
            writer.write_olat(i, one)
            writer.write("full", i, np.zeros((size, size, 3), np.uint8))
            for name in ("parse", "mask"):
                writer.write(name, i, np.zeros((size, size), np.uint8))
        writer.finish(rows)


def write_others(folder: Path, codes: np.ndarray, tile: int) -> None:
    """The same codes in other formats, each in a usual way."""
    import webdataset
    import zarr

    count, lights = codes.shape[:2]
    with hdf5().File(folder / "gzip.h5", "w") as file:
        file.create_dataset(
            "olat", data=codes, chunks=(1, lights, tile, tile, 3), compression="gzip", compression_opts=4, shuffle=True
        )
    for i in range(count):
        (folder / f"npy-{i}").mkdir(exist_ok=True)
        for light in range(lights):
            np.save(folder / f"npy-{i}" / f"{light:03d}.npy", codes[i, light])
    # Zarr's own default codec (zstd) in the same tiles, and blosc with bitshuffle and lz4, the nearest to ours.
    blosc = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle")
    for name, codec in (("zarr", "auto"), ("zarr-blosc", blosc)):
        array = zarr.create_array(
            folder / name, shape=codes.shape, dtype=codes.dtype, chunks=(1, lights, tile, tile, 3), compressors=codec,
            fill_value=512, overwrite=True,
        )
        array[...] = codes
    with webdataset.TarWriter(str(folder / "web.tar")) as sink:
        for i in range(count):
            sink.write({"__key__": f"{i:06d}", "olat.npy": codes[i]})
    with webdataset.TarWriter(str(folder / "web-z.tar")) as sink:
        for i in range(count):
            sink.write({"__key__": f"{i:06d}", "olat.npz": {"codes": codes[i]}})


def shard_calls(path: Path, size: int) -> dict[str, Callable]:
    """Reading of shards, and the bare codec on the same bytes, which lie in memory."""
    import hdf5plugin

    reader = ShardReader(path)
    lights, c = len(reader.header.rig), reader.header.tile
    room = np.empty(((size // c) ** 2, lights, c, c, 3), np.uint16)
    library = ctypes.CDLL(str(hdf5plugin.get_config().registered_filters["bshuf"]))
    library.bshuf_decompress_lz4.restype = ctypes.c_int64
    library.bshuf_decompress_lz4.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_size_t] * 3]
    packed = {
        i: [reader._packed("olat", (i, 0, y, x, 0)) for y, x in reader.stored_tiles(i).tolist()]
        for i in range(len(reader))
    }

    def whole(i):
        tiles = reader.stored_tiles(i)
        reader.read_tiles(i, tiles, room[: len(tiles)])
        return len(tiles)

    def bare(i):
        for data, out in zip(packed[i], room, strict=False):
            block = int.from_bytes(data[8:12].tobytes(), "big") // 2
            library.bshuf_decompress_lz4(data.ctypes.data + 12, out.ctypes.data, out.size, 2, block)
        return len(packed[i])

    def window(i, top, left, side):
        tiles = reader.stored_tiles(i, (top, left, side, side))
        reader.read_tiles(i, tiles, room[: len(tiles)])
        return len(tiles)

    return {"shards": whole, "bare codec": bare, "shards, window": window}


def other_calls(folder: Path, lights: int, size: int) -> dict[str, Callable]:
    """Reading of the other formats."""
    import webdataset
    import zarr

    out = np.empty((lights, size, size, 3), np.uint16)
    gzip = hdf5().File(folder / "gzip.h5", "r")["olat"]
    arrays = {name: zarr.open_array(folder / name, mode="r") for name in ("zarr", "zarr-blosc")}

    def read_npy(i):
        for light in range(lights):
            out[light] = np.load(folder / f"npy-{i}" / f"{light:03d}.npy")

    def read_npy_window(i, top, left, side):
        for light in range(lights):
            lit = np.load(folder / f"npy-{i}" / f"{light:03d}.npy", mmap_mode="r")
            out[light, :side, :side] = lit[top : top + side, left : left + side]

    def read_web(name, key, entry=None):
        # A tar is read in its order; one pass over the file serves the imagesets that it holds.
        for sample in webdataset.WebDataset(str(folder / name), shardshuffle=False, empty_check=False).decode():
            data = sample[key]
            out[...] = data[entry] if entry else data

    def window_of(array):
        return lambda i, top, left, side: array[i, :, top : top + side, left : left + side]

    def into(array):
        def read(i):
            out[...] = array[i]

        return read

    return {
        "HDF5 gzip-4": lambda i: gzip.read_direct(out, np.s_[i]), "HDF5 gzip-4, window": window_of(gzip),
        "npy per light": read_npy, "npy per light, window": read_npy_window,
        "Zarr v3 (zstd)": into(arrays["zarr"]), "Zarr v3 (zstd), window": window_of(arrays["zarr"]),
        "Zarr v3 (blosc lz4)": into(arrays["zarr-blosc"]), "Zarr v3 (blosc lz4), window": window_of(arrays["zarr-blosc"]),
        "WebDataset npy": lambda: read_web("web.tar", "olat.npy"),
        "WebDataset npz": lambda: read_web("web-z.tar", "olat.npz", "codes"),
    }


def measure(calls: dict[str, Callable], count: int, size: int, rounds: int) -> dict[str, float]:
    """Best seconds per imageset (or window) of each; formats take turns within a round."""
    rng = np.random.default_rng(0)
    best = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            if name.startswith("WebDataset"):
                start = time.perf_counter()
                call()
                best[name] = min(best[name], (time.perf_counter() - start) / count)
                continue
            for i in rng.permutation(count):
                side = size // 2
                where = (*(int(v) for v in rng.integers(0, size - side, 2)), side) if name.endswith("window") else ()
                start = time.perf_counter()
                call(int(i), *where)
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def reader_memory(path: Path, size: int) -> tuple[float, float]:
    """What an open reader holds, and the most that reading an imageset into given memory takes besides [MB]."""
    lights = len(ShardReader(path).header.rig)
    room = np.empty(lights * size * size * 3, np.uint16)
    tracemalloc.start()
    reader = ShardReader(path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    tiles = reader.stored_tiles(0)
    c = reader.header.tile
    reader.read_tiles(0, tiles, room[: len(tiles) * lights * c * c * 3].reshape(len(tiles), lights, c, c, 3))
    most = tracemalloc.get_traced_memory()[1] - held
    tracemalloc.stop()
    return held / 1e6, most / 1e6


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--imagesets", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tile", type=int, default=32)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)) / f"shards-{given.size}"
        make_take(folder / "head.olat.h5", given.size, given.imagesets)
        take = open_take(folder / "head.olat.h5")
        codes = np.stack([read_square(take, i, given.size)[1] for i in range(given.imagesets)])
        write_shard(folder / "shard.h5", take, codes, given.tile)
        write_others(folder, codes, given.tile)
        count, lights, size = codes.shape[:3]
        calls = shard_calls(folder / "shard.h5", size) | other_calls(folder, lights, size)
        seconds = measure(calls, count, size, given.rounds)
        tiles = calls["shards"](0)
        plain, unpacked = codes[0].nbytes / 1e6, tiles * lights * given.tile**2 * 6 / 1e6
        files = {
            "shards": "shard.h5", "HDF5 gzip-4": "gzip.h5", "npy per light": "npy-0", "Zarr v3 (zstd)": "zarr",
            "Zarr v3 (blosc lz4)": "zarr-blosc", "WebDataset npy": "web.tar", "WebDataset npz": "web-z.tar",
        }
        held, most = reader_memory(folder / "shard.h5", size)
        sizes = {name: bytes_of(folder / file) / (1 if file == "npy-0" else count) / 1e6 for name, file in files.items()}
    print(f"{size} x {size}, {lights} lights, {plain:.1f} MB of codes per imageset, {tiles} of "
          f"{(size // given.tile) ** 2} tiles hold light ({unpacked:.1f} MB)", file=sys.stderr)
    print(f"{'':24}{'ms':>8}{'MB/s':>8}{'shards are':>12}{'MB on disk':>12}{'window ms':>11}{'shards are':>12}")
    for name in ("bare codec", *files):
        ms, window = 1e3 * seconds[name], 1e3 * seconds.get(f"{name}, window", np.nan)
        ratio, narrow = seconds[name] / seconds["shards"], window / (1e3 * seconds["shards, window"])
        print(f"{name:24}{ms:8.1f}{1e3 * plain / ms:8.0f}{ratio:11.2f}x{sizes.get(name, np.nan):12.2f}"
              f"{window:11.1f}{narrow:11.2f}x".replace("nanx", "   -").replace("nan", "  -"))
    print(f"shards unpack {1e3 * unpacked / (1e3 * seconds['shards']):.0f} MB/s of the tiles that hold light")
    print(f"an open reader of {count} imagesets holds {held:.2f} MB; a reading takes {most:.2f} MB besides what it fills")
    if given.json:
        given.json.write_text(json.dumps({"ms": {k: 1e3 * v for k, v in seconds.items()}, "MB": sizes}, indent=1))


if __name__ == "__main__":
    main()
