"""Shard sets joined into one: files are copied as they are, numbers and index are new."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from olatkit.errors import ConfigError, FormatError, OutputExistsError
from olatkit.io.outputs import copy_file, whole_file
from olatkit.io.shard_index import BANK, INDEX, ShardEntry, ShardIndex, find_contradiction, read_index, write_index
from olatkit.io.shard_writing import file_sha256
from olatkit.jobs.schedulers import Progress


def merge_shards(
    folders: Sequence[Path], out: Path, *, link: bool = False, bank: Path | None = None, overwrite: bool = False,
    progress: Progress | None = None,
) -> ShardIndex:
    """Join shard sets.

    Parameters
    ----------
    folders : sequence of Path
        Finished sets of equal size, tile, compression and number of baked pictures, with different takes.
    out : Path
        Folder to write.
    link : bool
        Hard links instead of copies: no space is needed, and files are shared with the sources.
    bank : Path, optional
        Lighting bank of the result; that of the sets if it is the same in all.
    overwrite : bool
        Replace a set in ``out``, file by file.
    progress : callable (done, total), optional
        Told after every file.

    Raises
    ------
    ConfigError
        The sets do not fit together.
    FormatError
        One of them is damaged or not finished.
    OutputExistsError
        ``out`` holds a set and ``overwrite`` is False.
    """
    out = Path(out)
    if (out / INDEX).exists() and not overwrite:
        raise OutputExistsError(f"{out}: holds a shard set; choose another folder or pass --overwrite")
    if out.resolve() in [Path(folder).resolve() for folder in folders]:
        raise ConfigError(f"{out}: is one of the sets to merge; choose another folder")
    indices = [read_index(folder) for folder in folders]
    index = _join(folders, indices)
    out.mkdir(parents=True, exist_ok=True)
    (out / INDEX).unlink(missing_ok=True)
    files = list(_files(folders, indices))
    for done, ((source, entry), shard) in enumerate(zip(files, index.shards, strict=True)):
        if progress:
            progress(done, len(files))
        _bring(source, out / shard.file, entry, link)
    if progress:
        progress(len(files), len(files))
    index = replace(index, bank_sha256=_bring_bank(folders, indices, out, bank))
    write_index(out, index, overwrite=overwrite)
    return index


def _join(folders: Sequence[Path], indices: Sequence[ShardIndex]) -> ShardIndex:
    """The index of the whole."""
    first = indices[0]
    for folder, index in zip(folders, indices, strict=True):
        for name in ("size", "tile", "baked", "compression"):
            if getattr(index, name) != getattr(first, name):
                raise ConfigError(
                    f"{folder}: {name} is {getattr(index, name)}, in {folders[0]} it is {getattr(first, name)}; "
                    "only sets that were built alike can be merged"
                )
    takes = tuple(take for index in indices for take in index.takes)
    entries = [entry for index in indices for entry in index.shards]
    shards = tuple(replace(entry, file=f"shard-{number:05d}.h5") for number, entry in enumerate(entries))
    settings = {"merged": [dict(index.settings) for index in indices]}
    index = replace(first, takes=takes, shards=shards, settings=settings)
    problem = find_contradiction(index)
    if problem:
        raise ConfigError(f"the sets do not fit together: {problem}")
    return index


def _files(folders: Sequence[Path], indices: Sequence[ShardIndex]) -> Iterator[tuple[Path, ShardEntry]]:
    for folder, index in zip(folders, indices, strict=True):
        for entry in index.shards:
            yield Path(folder) / entry.file, entry


def _bring(source: Path, target: Path, entry: ShardEntry, link: bool) -> None:
    """Copy or link one file; one that is there and whole, from an interrupted run, stays."""
    if target.is_file() and target.stat().st_size == entry.bytes and file_sha256(target) == entry.sha256:
        return
    if not source.is_file() or source.stat().st_size != entry.bytes:
        raise FormatError(f"{source}: missing or of another size than the index says; `olatkit shards verify` tells more")
    if link:
        with whole_file(target, overwrite=True) as part:
            part.unlink(missing_ok=True)
            os.link(source, part)
        return
    copy_file(source, target)
    if file_sha256(target) != entry.sha256:
        raise FormatError(f"{source}: SHA-256 differs from the index, the file has changed")


def _bring_bank(folders: Sequence[Path], indices: Sequence[ShardIndex], out: Path, bank: Path | None) -> str:
    """Copy the bank; returns its hash, '' if there is none."""
    if bank is None:
        hashes = {index.bank_sha256 for index in indices}
        if hashes == {""}:
            return ""
        if len(hashes) > 1:
            raise ConfigError("the sets were built with different lighting banks; say which to keep with --bank")
        bank = Path(folders[0]) / BANK
    if not bank.is_file():
        raise FormatError(f"{bank}: no such file")
    copy_file(bank, out / BANK)
    return file_sha256(out / BANK)
