"""Lighting banks on disk: many environment maps, small, at one mean brightness, in one HDF5 file.

Datasets, N maps: ``lighting`` (N, 16, 16, 3) and ``fine`` (N, 64, 128, 3) float32; ``scale`` (N,) float64; ``name``,
``scene``, ``sha256``, ``notes`` (N,) text; ``test`` (N,) bool. Attributes: ``format`` = "olatkit-bank", ``version``,
``settings`` (JSON, with the version of olatkit that made it). Compressed with gzip, so that any HDF5 tool reads it; no
dates and no folders, so that the same maps give the same bytes.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from olatkit.errors import FormatError
from olatkit.geometry import row_solid_angles
from olatkit.io.kinds import kind_of_file, kind_of_hdf5
from olatkit.io.outputs import whole_file

FORMAT, VERSION = "olatkit-bank", 1
GRID, FINE_GRID = (16, 16), (64, 128)
_TEXTS = ("name", "scene", "sha256", "notes")
_MAPS = {"lighting": GRID, "fine": FINE_GRID}


@dataclass(frozen=True, eq=False)
class LightingBank:
    """N environment maps for training and rendering, each scaled to a mean luminance of 1 over the sphere.

    Parameters
    ----------
    lighting : ndarray, shape (N, 16, 16, 3), float32
        Linear radiance, lat-long: the form of light that relighting networks take.
    fine : ndarray, shape (N, 64, 128, 3), float32
        The same maps with the same scale, for turning: a yaw is exact to 2.8 degrees here and to 22.5 degrees in
        ``lighting``.
    scale : ndarray, shape (N,), float64
        Factor from a file's radiance to the bank's.
    names : tuple of str
        File of each map, relative to the folder that the bank was made from.
    scenes : tuple of str
        What the map shows; maps of one scene are on one side of the split.
    test : ndarray of bool, shape (N,)
        Held out: not for training.
    sha256 : tuple of str
        Hash of each file.
    notes : tuple of str
        What was odd about each file, such as a clipped sun; '' if nothing.
    settings : dict
        How the bank was made.

    Raises
    ------
    ValueError
        Lengths or shapes disagree, radiance that is negative or not finite, or no map.
    """

    lighting: np.ndarray
    fine: np.ndarray
    scale: np.ndarray
    names: tuple[str, ...]
    scenes: tuple[str, ...]
    test: np.ndarray
    sha256: tuple[str, ...]
    notes: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.names)
        for key, grid in _MAPS.items():
            value = np.asarray(getattr(self, key), np.float32)
            if value.shape != (count, *grid, 3):
                raise ValueError(f"{key} has shape {value.shape}, expected {(count, *grid, 3)} for {count} maps")
            if not (np.isfinite(value).all() and (value >= 0).all()):
                raise ValueError(f"{key} holds radiance that is negative or not finite")
            object.__setattr__(self, key, value)
        for key in ("scale", "test", "scenes", "sha256", "notes"):
            if len(getattr(self, key)) != count:
                raise ValueError(f"{len(getattr(self, key))} values of {key} for {count} maps")
        if not count:
            raise ValueError("a bank needs at least one map")

    def __len__(self) -> int:
        return len(self.names)

    def part(self, split: str) -> "LightingBank":
        """The bank's maps for 'train' or for 'test'; ValueError if there are none."""
        if split not in ("train", "test"):
            raise ValueError(f"split is '{split}', expected 'train' or 'test'")
        chosen = np.flatnonzero(np.asarray(self.test, bool) == (split == "test"))
        if not len(chosen):
            raise ValueError(f"no map of the bank is for '{split}' ({len(self)} are for the other side)")
        return self.take(chosen)

    def take(self, indices: Sequence[int] | np.ndarray) -> "LightingBank":
        """The bank with these maps only, in this order."""
        index = np.asarray(indices, int)

        def pick(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(texts[i] for i in index)

        return replace(
            self, lighting=self.lighting[index], fine=self.fine[index], scale=np.asarray(self.scale)[index],
            test=np.asarray(self.test)[index], names=pick(self.names), scenes=pick(self.scenes),
            sha256=pick(self.sha256), notes=pick(self.notes),
        )

    @property
    def power(self) -> np.ndarray:
        """Integral of each map's own radiance over the sphere, before scaling, (N, 3), radiance x sr."""
        light = np.einsum("nhwc,h->nc", self.lighting.astype(np.float64), row_solid_angles(*GRID))
        return light / np.asarray(self.scale)[:, None]

    def __repr__(self) -> str:
        return f"LightingBank({len(self)} maps of {len(set(self.scenes))} scenes, {int(np.sum(self.test))} for tests)"


def read_bank(path: str | os.PathLike[str]) -> LightingBank:
    """Read a lighting bank that ``olatkit bank build`` made.

    Raises
    ------
    FormatError
        Missing, damaged, no bank, or a bank of another version.
    """
    import h5py

    try:
        _check_kind(Path(path))
        with h5py.File(path, "r", locking=False) as file:
            _check_version(path, file)
            arrays = {key: file[key][()] for key in ("lighting", "fine", "scale", "test")}
            texts = {key: tuple(file[key].asstr()[()].tolist()) for key in _TEXTS}
            settings = json.loads(file.attrs["settings"])
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file; make a bank with 'olatkit bank build'") from error
    except OSError as error:
        reason = " ".join(str(error).split())
        raise FormatError(f"{path}: cannot be read as a lighting bank: {reason}; build it again") from error
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: damaged lighting bank: {error}; build it again with 'olatkit bank build'") from error
    try:
        return LightingBank(
            arrays["lighting"], arrays["fine"], arrays["scale"], texts["name"], texts["scene"],
            arrays["test"].astype(bool), texts["sha256"], texts["notes"], settings,
        )
    except ValueError as error:
        raise FormatError(f"{path}: damaged lighting bank: {error}; build it again with 'olatkit bank build'") from error


def write_bank(path: str | os.PathLike[str], bank: LightingBank, *, overwrite: bool = False) -> None:
    """Write a lighting bank; an existing file is an OutputExistsError unless ``overwrite``."""
    import h5py

    with whole_file(path, overwrite=overwrite) as part, h5py.File(part, "w", libver=("earliest", "v110")) as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file.attrs["settings"] = json.dumps(bank.settings, sort_keys=True)
        for key, grid in _MAPS.items():
            file.create_dataset(key, data=getattr(bank, key), chunks=(1, *grid, 3), compression="gzip", shuffle=True,
                                track_times=False)
        file.create_dataset("scale", data=np.asarray(bank.scale, np.float64), track_times=False)
        file.create_dataset("test", data=np.asarray(bank.test, np.uint8), track_times=False)
        for key, values in zip(_TEXTS, (bank.names, bank.scenes, bank.sha256, bank.notes), strict=True):
            file.create_dataset(key, data=list(values), dtype=h5py.string_dtype(), track_times=False)


def is_bank(attributes: dict[str, Any]) -> bool:
    """Whether the attributes of an HDF5 file are those of a bank."""
    return attributes.get("format") == FORMAT


def _check_kind(path: Path) -> None:
    """One line for what is no HDF5 file, and what a map is shown with."""
    kind = kind_of_file(path)
    if kind:
        remedy = "; 'olatkit envmap show' and 'envmap info' are for single maps" if kind == "a picture" else ""
        raise FormatError(f"{path}: no lighting bank but {kind}, expected a file made by 'olatkit bank build'{remedy}")


def _check_version(path: str | os.PathLike[str], file: Any) -> None:
    """One line for an HDF5 file that is no bank, or one of another version."""
    name, attributes = Path(path).name, dict(file.attrs)
    if not is_bank(attributes):
        raise FormatError(
            f"{path}: no lighting bank but {kind_of_hdf5(file)}, expected a file made by 'olatkit bank build'"
        )
    version = attributes.get("version", "none")
    if version != VERSION:
        raise FormatError(
            f"{path}: lighting bank of version {version}, this olatkit reads version {VERSION}; build it again: "
            f"olatkit bank build FOLDER -o {name} --overwrite"
        )
