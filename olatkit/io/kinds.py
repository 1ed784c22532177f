"""What a file is by its first bytes, in words, and what makes a take of it."""

from pathlib import Path
from typing import Any

from olatkit.io.exr import EXR_MAGIC
from olatkit.io.images import HDR_MAGIC, PICTURE_MAGIC

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
# What the HDF5 files of this package call themselves.
_FORMATS = {
    "olatkit-take": "a take", "olatkit-bank": "a lighting bank",
    "olatkit-shard": "one file of a set of shards; takes are what shards are made of",
}


def why_no_take(path: Path) -> str:
    """What something is that was given as a take, and what to try, without its path; '' for an HDF5 file."""
    if path.is_dir():
        return f"is a folder, {_about_folder(path)}"
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(HDF5_MAGIC):
        return ""
    kind, remedy = _kind(start)
    return f"not a take but {kind}, expected NAME.olat.h5{remedy}"


def kind_of_file(path: Path) -> str:
    """What a file or folder that is no HDF5 file is, in words; '' for an HDF5 file."""
    if path.is_dir():
        return "a folder"
    with path.open("rb") as file:
        start = file.read(512)
    return "" if start.startswith(HDF5_MAGIC) else _kind(start)[0]


def kind_of_hdf5(file: Any) -> str:
    """What an open HDF5 file is by its attributes and the names in it."""
    if "codes_per_unit" in file.attrs or ("label" in file and "r_tick" in file):
        return "the truth of a simulated take"
    return _FORMATS.get(str(file.attrs.get("format")), "an HDF5 file of another program")


def _about_folder(folder: Path) -> str:
    """What a folder holds that may have been meant."""
    takes = sorted(folder.glob("*.olat.h5"))
    if takes:
        return f"expected a take; it holds {takes[0].name}" + (f" and {len(takes) - 1} more" if len(takes) > 1 else "")
    if (folder / "plan.json").is_file():
        return "expected a take; it holds the parts of one: run the command that makes it again"
    return "expected a take, NAME.olat.h5; `olatkit import` makes one of a folder of photographs"


def _kind(start: bytes) -> tuple[str, str]:
    """A file by its first bytes, and a remedy."""
    if not start:
        return "an empty file", "; copy or make it again"
    if start.startswith(b"CI"):
        return "a Phantom .cine capture", ", which `olatkit ingest` makes of it"
    if start.startswith((EXR_MAGIC, *HDR_MAGIC, *PICTURE_MAGIC)):
        return "a picture", "; `olatkit import` makes one of a folder of photographs, and maps are for --envmap"
    return _text_or_bytes(start), ", which ingest, import and simulate --subjects write"


def _text_or_bytes(start: bytes) -> str:
    try:
        text = start.decode("utf-8-sig", "ignore" if len(start) == 512 else "strict")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return f"a file of no known kind (starts with {start[:4]!r})"
    return "a JSON document" if text.lstrip()[:1] in ("{", "[") else "a text file"
