"""Builds of a small set of shards, for the tests of builds."""

from small_shards import small_config

from olatkit.jobs.build_shards import build_shards

IMAGESETS = 8


def build(folder, out, **given):
    takes = given.pop("takes", [folder / "take0.olat.h5", folder / "take1.olat.h5"])
    config = given.pop("config", None) or small_config(bake=2)
    return build_shards(takes, out, config, **{"bank": folder / "maps.h5", "scheduler": "sync", **given})


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def flags(**given):
    """Command-line options of a small configuration."""
    config = small_config(**given)
    return [
        "--size", str(config.size), "--bake", str(config.bake), "--shard-imagesets", str(config.shard_imagesets),
        "--set", f"tile={config.tile}", "--set", "matte=false", "--set", "labels.parsing=foreground",
        "--set", "labels.flow_preset=fast",
    ]
