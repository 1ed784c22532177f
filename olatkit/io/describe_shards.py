"""Explain sets of shards, from their index alone, and single shards."""

from pathlib import Path

from olatkit.io.facts import Description, Fact, file_size, number, size, text
from olatkit.io.shard_index import BANK, read_index
from olatkit.io.shards import ShardReader
from olatkit.wording import counted

NAMED = 8  # subjects of a split that are listed; JSON lists all


def describe_shard_set(folder: Path) -> Description:
    """What a shard set holds; no shard is opened. FormatError for what is no set."""
    index = read_index(folder)
    takes, shards = index.takes, index.shards
    imagesets, pairs = sum(take.imagesets for take in takes), sum(shard.pairs for shard in shards)
    bytes_ = sum(shard.bytes for shard in shards)
    plain = sum(take.imagesets * take.lights for take in takes) * index.size**2 * 6
    lights, labels = sorted({take.lights for take in takes}), sorted({take.labels for take in takes})
    facts = [
        Fact("pictures", f"{index.size} x {index.size} px, tiles of {index.tile} px, {index.compression}", "size_px",
             [index.size, index.size]),
        Fact("lights", ", ".join(map(str, lights)), "lights", lights),
        Fact("imagesets", f"{imagesets} of {counted(len(takes), 'take')} in {counted(len(shards), 'shard')}, "
                          f"{counted(pairs, 'pair')}", "imagesets", imagesets),
        Fact("on disk", f"{bytes_ / 1e6:.1f} MB, {bytes_ / imagesets / 1e6:.2f} MB per imageset, "
                        f"{plain / bytes_:.2f} times smaller than 16-bit codes", "bytes", bytes_),
        Fact("baked", f"{counted(index.baked, 'relit triplet')} per pair" if index.baked else "no", "baked", index.baked),
        text("bank", BANK if index.bank_sha256 else "none", "bank"),
        text("labels by", ", ".join(labels), "labels_by"),
    ]
    for split in index.splits:
        some = index.takes_of(split)
        subjects = sorted({take.subject for take in some})
        facts.append(Fact(
            f"split {split}",
            f"{counted(len(subjects), 'subject')}, {counted(len(some), 'take')}, "
            f"{counted(sum(take.imagesets for take in some), 'imageset')}: "
            + ", ".join(subjects[:NAMED]) + (" ..." if len(subjects) > NAMED else ""),
            f"split_{split}", subjects,
        ))
    return Description("shard set", tuple(facts))


def describe_shard(path: Path) -> Description:
    """One file of a shard set."""
    header = ShardReader(path).header
    last = header.first + header.count - 1
    facts = (
        text("take", header.take, "take"),
        text("subject", header.subject, "subject"),
        Fact("imagesets", f"{header.first} to {last} of the take, {counted(header.pairs, 'pair')}", "imagesets",
             [header.first, last]),
        number("lights", len(header.rig), "", "lights"),
        size("picture", header.size, header.size, "size_px"),
        number("kappa", header.kappa, "from relit radiance to display", "kappa"),
        text("holds", ", ".join(header.names), "datasets"),
        text("labels by", str(header.notes.get("labels", "not stated")), "labels_by"),
        file_size(path.stat().st_size),
    )
    return Description(f"one file of the shard set {path.parent}", facts)
