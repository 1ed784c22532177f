"""Explain a lighting bank: how many maps, of what, how bright, and what is odd about them."""

from collections import Counter
from pathlib import Path

import numpy as np

from olatkit.color import luminance
from olatkit.io.banks import read_bank
from olatkit.io.facts import Description, Fact, file_size, number, span, text

# Odd maps that are listed by name; JSON lists all maps.
LISTED = 12


def describe_bank(path: Path) -> Description:
    """A bank's maps, split, range of brightness and notes; FormatError for what is no bank."""
    bank = read_bank(path)
    test = np.asarray(bank.test, bool)
    peaks = np.log2(luminance(bank.fine).max(axis=(1, 2)).astype(float))
    settings = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in sorted(bank.settings.items()))
    facts = [
        number("maps", len(bank), "", "maps"),
        number("scenes", len(set(bank.scenes)), "", "scenes"),
        Fact("split", f"{int((~test).sum())} for training, {int(test.sum())} for tests", "split",
             {"train": int((~test).sum()), "test": int(test.sum())}),
        Fact("held-out scenes", _shortened(sorted({s for s, t in zip(bank.scenes, test, strict=True) if t})),
             "test_scenes", sorted({s for s, t in zip(bank.scenes, test, strict=True) if t})),
        span("mean luminance in the files", 1 / np.asarray(bank.scale), "", "mean_luminance"),
        span("peak over mean, 64x128", peaks, "stops", "peak_over_mean_stops", ".3g"),
        text("made with", settings or "nothing stated", "settings"),
    ]
    kinds = Counter("flat" if "flat over" in note else "other" for note in bank.notes if note)
    facts.append(Fact("odd maps", f"{kinds['flat']} with a clipped sun or a flat lamp, {kinds['other']} otherwise",
                      "odd_maps", {"flat": kinds["flat"], "other": kinds["other"]}))
    odd = [(name, note) for name, note in zip(bank.names, bank.notes, strict=True) if "flat over" in note]
    facts += [text(f"  {name}", note, f"note_{i}") for i, (name, note) in enumerate(odd[:LISTED])]
    maps = [
        {"name": name, "scene": scene, "split": "test" if held else "train", "scale": float(scale), "sha256": sha256,
         "notes": note}
        for name, scene, held, scale, sha256, note in zip(
            bank.names, bank.scenes, test, bank.scale, bank.sha256, bank.notes, strict=True)
    ]
    facts.append(Fact("files", _shortened(bank.names), "files", maps))
    return Description("lighting bank", (*facts, file_size(path.stat().st_size)))


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more if names else "none"
