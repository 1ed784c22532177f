"""Takes and shard sets of the closed-form sphere, made in a fraction of a second."""

from pathlib import Path

import numpy as np
from synthetic import SphereStage, slide

from olatkit.io import codes as radiance_codes
from olatkit.io.banks import LightingBank, write_bank
from olatkit.io.take_writing import ImagesetRows, TakeHeader, merge_parts, write_part
from olatkit.jobs.build_shards import build_shards
from olatkit.jobs.shard_plan import ShardConfig
from olatkit.rig import default_rig
from olatkit.schedule import grouped_schedule

LIGHTS = 12
SIZE = 32
STEP_S = 0.04


def sphere_stage(size: int = SIZE, *, speed: float = 25.0, lights: int = LIGHTS) -> SphereStage:
    """A sphere that slides by one pixel per imageset."""
    schedule = grouped_schedule(np.arange(lights), group=lights // 2, tracking_gain=0.1, stride=lights // 2 + 1)
    return SphereStage(default_rig(lights), schedule, (size, size), 0.3 * size, slide(speed, 0))


def write_sphere_take(path: Path, imagesets: int = 7, *, stage: SphereStage | None = None, seed: int = 0, **notes):
    """A take of exact pictures with a little noise on the sphere; returns its codes (N, L, H, W, 3)."""
    stage = stage or sphere_stage()
    rng, (height, width) = np.random.default_rng(seed), stage.size
    header = TakeHeader(stage.rig, stage.schedule, stage.size, (0, 0, height, width), 25.0, notes=notes)
    parts, stored = [], []
    for i in range(imagesets):
        mask = stage.surface(i * STEP_S)[2]
        radiance = stage.olat(i * STEP_S) + mask[..., None] * rng.normal(0, 0.002, (len(stage.rig), height, width, 3))
        codes, _ = radiance_codes.encode(radiance.astype(np.float32))
        rows = ImagesetRows(
            radiance.sum(0).astype(np.float32), np.zeros(len(stage.rig), np.uint8),
            np.tile(np.int32([40 * i, 40 * i - 10]), (len(stage.rig), 1)), np.full(len(stage.rig), 0.5, np.float32),
            40 * i, 40 * i, i * STEP_S, {},
        )
        parts.append(path.with_suffix(f".{i}.part"))
        write_part(parts[-1], codes, rows, header, "test")
        stored.append(codes)
    merge_parts(parts, path, header)
    for part in parts:
        part.unlink()
    return np.stack(stored)


def write_small_bank(path: Path, maps: int = 4) -> Path:
    """A bank of random maps, the last one held out."""
    rng = np.random.default_rng(3)
    lighting = rng.random((maps, 16, 16, 3)).astype(np.float32) ** 4
    fine = lighting.repeat(4, axis=1).repeat(8, axis=2)
    names = tuple(f"map{i}.hdr" for i in range(maps))
    held_out = np.arange(maps) == maps - 1
    bank = LightingBank(lighting, fine, np.ones(maps), names, names, held_out, ("",) * maps, ("",) * maps)
    write_bank(path, bank)
    return path


def small_config(**given) -> ShardConfig:
    """Small shards; labels from the foreground alone."""
    labels = {"parsing": "foreground", "flow_preset": "fast", **given.pop("labels", {})}
    fields = {"size": SIZE, "tile": 8, "shard_imagesets": 3, "matte": False, "labels": labels, **given}
    return ShardConfig.model_validate(fields)


def write_small_set(folder: Path, takes: int = 2, imagesets: int = 7, **given) -> Path:
    """Takes, a bank and the shards made of them; returns the folder of the set."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"take{i}.olat.h5" for i in range(takes)]
    for i, path in enumerate(paths):
        write_sphere_take(path, imagesets, seed=i)
    bank = write_small_bank(folder / "maps.h5")
    build_shards(paths, folder / "shards", small_config(**given), bank=bank, scheduler="sync")
    return folder / "shards"
