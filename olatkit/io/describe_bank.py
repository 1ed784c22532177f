"""Explain a lighting bank: how many maps, of what, how bright, and what is odd about them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from olatkit.color import luminance
from olatkit.io.banks import read_bank
from olatkit.io.environments import FLAT, LAMP, TRACE
from olatkit.io.facts import Description, Fact, file_size, number, span, text
from olatkit.wording import counted

# Odd maps that are listed by name; JSON lists all maps.
LISTED = 12


def describe_bank(path: Path) -> Description:
    """A bank's maps, split, range of brightness and notes; FormatError for what is no bank."""
    bank = read_bank(path)
    test = np.asarray(bank.test, bool)
    peaks = np.log2(luminance(bank.fine).max(axis=(1, 2)).astype(float))
    settings = ", ".join(
        f"{key.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in sorted(bank.settings.items())
    )
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
    kinds = count_notes(bank.notes)
    said = [f"{kinds['flat']} with a clipped sun or a small, evenly bright lamp"] * bool(kinds["flat"])
    said += [f"{kinds['other']} with something else"] * bool(kinds["other"])
    facts.append(Fact("odd maps", ", ".join(said) or "none", "odd_maps", {k: kinds[k] for k in ("flat", "other")}))
    if kinds["lamp"]:
        facts.append(Fact("softboxes", f"the brightest light of {counted(kinds['lamp'], 'map')}, wide and evenly bright",
                          "lamp_maps", kinds["lamp"]))
    odd = [(name, note) for name, note in zip(bank.names, bank.notes, strict=True) if _kinds(note) & {"flat", "other"}]
    facts += [text(f"  {name}", note, f"note_{i}") for i, (name, note) in enumerate(odd[:LISTED])]
    if len(odd) > LISTED:
        facts.append(number("  not listed here", len(odd) - LISTED, "odd maps; --json lists all", "not_listed"))
    if kinds["trace"]:
        facts.append(Fact("lossy files", f"{counted(kinds['trace'], 'map')} with slightly negative values around black, set "
                          "to 0", "trace_maps", kinds["trace"]))
    maps = [
        {"name": name, "scene": scene, "split": "test" if held else "train", "scale": float(scale), "sha256": sha256,
         "notes": note}
        for name, scene, held, scale, sha256, note in zip(
            bank.names, bank.scenes, test, bank.scale, bank.sha256, bank.notes, strict=True)
    ]
    facts.append(Fact("files", _shortened(bank.names), "files", maps))
    return Description("lighting bank", (*facts, file_size(path.stat().st_size)))


def count_notes(notes: Sequence[str]) -> Counter[str]:
    """How many maps have a light that may be a clipped sun ('flat'), a wide, even one ('lamp'), traces of negative light
    ('trace'), something else ('other')."""
    counts: Counter[str] = Counter()
    for note in notes:
        counts.update(_kinds(note))
    return counts


def _kinds(note: str) -> set[str]:
    """What the notes of a map, behind each other, are about."""
    kinds = {FLAT: "flat", LAMP: "lamp", TRACE: "trace"}
    parts = note.split("; ") if note else []
    return {next((kind for words, kind in kinds.items() if words in part), "other") for part in parts}


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more if names else "none"
