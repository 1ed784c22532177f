"""The plan of a shard set: takes, subjects, splits, files; made once, written down, and followed by every worker."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from olatkit import __version__
from olatkit.errors import ConfigError, FormatError
from olatkit.io.documents import rig_to_document
from olatkit.io.outputs import whole_file
from olatkit.io.shard_index import BUILD
from olatkit.io.shard_writing import file_sha256
from olatkit.io.takes import Take, open_take
from olatkit.io.truth_labels import read_truth_labels
from olatkit.jobs.schedulers import task_path
from olatkit.jobs.truth_pairs import pair_truths
from olatkit.render.sampling import SamplingConfig
from olatkit.vision.labels import LabelConfig, make_labeller

MODELS = ("onnx", "flow_onnx", "models")  # settings of labels that name files


class ShardConfig(BaseModel):
    """How takes become shards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: int = Field(512, ge=16, description="side of the pictures [px]; takes are cropped to a square and reduced")
    tile: int = Field(32, ge=8, description="side of the tiles that hold all lights [px]; divides size")
    shard_imagesets: int = Field(16, ge=1, description="consecutive imagesets of a shard")
    compression: Literal["bitshuffle", "gzip", "none"] = Field(
        "bitshuffle", description="gzip is readable by any HDF5 tool, and slow"
    )
    bake: int = Field(0, ge=0, description="relit triplets stored for every pair, besides the single lights")
    seed: int = Field(0, ge=0, description="of baked lightings and of splits that are given as shares")
    splits: dict[str, float | tuple[str, ...]] = Field(
        {"test": 0.1},
        description="splits besides 'train': names of subjects, or the share of all subjects",
    )
    matte: bool = Field(True, description="closed-form matte at the subject's edge; false: the plain coverage")
    labels: LabelConfig = Field(default_factory=LabelConfig)
    lighting: SamplingConfig = Field(default_factory=SamplingConfig, description="lightings that are baked")

    def model_post_init(self, _context: object) -> None:
        if self.size % self.tile:
            raise ValueError(f"size {self.size} is not a multiple of the tile, {self.tile}")
        if "train" in self.splits:
            raise ValueError("the split 'train' holds what the others leave; name only the others")
        shares = [share for share in self.splits.values() if isinstance(share, float)]
        if any(not 0 <= share < 1 for share in shares) or sum(shares) >= 1:
            raise ValueError(f"shares of splits are {shares}, expected 0 to 1 and less than 1 together")


@dataclass(frozen=True)
class TakePlan:
    """A take to be cut into shards; ``fingerprint`` tells it from another take of the same name."""

    path: str
    name: str
    subject: str
    split: str
    imagesets: int
    lights: int
    fingerprint: str
    truth: str | None
    truth_sha256: str


@dataclass(frozen=True)
class ShardPlan:
    """One file to be made: imagesets ``first`` to ``first + count - 1`` of take number ``take``."""

    file: str
    take: int
    first: int
    count: int
    pairs: int


@dataclass(frozen=True)
class SetPlan:
    """Everything that a worker needs to know."""

    config: ShardConfig
    takes: tuple[TakePlan, ...]
    shards: tuple[ShardPlan, ...]
    bank_sha256: str
    models_sha256: str
    digest: str

    def digest_of(self, shard: ShardPlan) -> str:
        """What decides the contents of a shard: settings, take and range, but no names of folders."""
        take = self.takes[shard.take]
        parts = (
            _content(self.config, self.bank_sha256, self.models_sha256), take.name, take.subject, take.fingerprint,
            take.truth_sha256, shard.file, shard.first, shard.count, take.split if self.config.bake else "",
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def plan_shards(
    takes: Sequence[Path], config: ShardConfig, *, bank_sha256: str = "", subjects: Mapping[str, str] | None = None,
    truths: Sequence[Path] = (), scheduler: str = "threads",
) -> SetPlan:
    """Plan the shards of some takes; their pictures are not read. Paths are as workers of ``scheduler`` find them.

    Raises
    ------
    ConfigError
        A take given twice, takes of the same name, unknown subjects, a take smaller than the shards' pictures, a truth
        file of another take.
    FormatError
        A take cannot be opened.
    """
    if not takes:
        raise ConfigError("no takes given")
    truths = pair_truths(takes, truths)
    if config.bake and not bank_sha256:
        raise ConfigError("baked pictures need lightings: give --bank")
    for path in truths:
        read_truth_labels(path)  # says now what a task would say later
    config, models = _settle_labels(config, bool(truths), scheduler)
    opened = [open_take(path) for path in takes]
    for path, take in zip(takes, opened, strict=True):
        if min(take.shape) < config.size:
            raise ConfigError(
                f"{path}: pictures are {take.shape[1]}x{take.shape[0]}, smaller than the shards' {config.size}; "
                f"pass a --size of at most {min(take.shape) // config.tile * config.tile}"
            )
        if not len(take):
            raise ConfigError(f"{path}: the take holds no imageset")
    names = take_names(takes)
    known = {name: str(take.notes.get("subject", name)) for name, take in zip(names, opened, strict=True)}
    for name in subjects or {}:
        if name not in known:
            raise ConfigError(f"subjects: take '{name}' is not given, expected one of {', '.join(names)}")
    known |= subjects or {}
    splits = assign_splits(sorted(set(known.values())), config.splits, config.seed)
    planned = tuple(
        TakePlan(
            str(task_path(path, scheduler)), name, known[name], splits[known[name]], len(take), len(take.rig),
            fingerprint(take), str(task_path(truths[i], scheduler)) if truths else None,
            file_sha256(truths[i]) if truths else "",
        )
        for i, (path, name, take) in enumerate(zip(takes, names, opened, strict=True))
    )
    shards: list[ShardPlan] = []
    for number, entry in enumerate(planned):
        for first in range(0, entry.imagesets, config.shard_imagesets):
            count = min(config.shard_imagesets, entry.imagesets - first)
            pairs = min(count, entry.imagesets - 1 - first)
            shards.append(ShardPlan(f"shard-{len(shards):05d}.h5", number, first, count, pairs))
    document = [_content(config, bank_sha256, models), [{**asdict(take), "path": "", "truth": ""} for take in planned]]
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return SetPlan(config, planned, tuple(shards), bank_sha256, models, digest)


def take_names(paths: Sequence[Path]) -> list[str]:
    """Names of takes from their files, with the folder's name where files have the same one.

    Raises
    ------
    ConfigError
        A take is given twice, or takes of one name are in folders of one name.
    """
    once: dict[Path, Path] = {}
    for path in paths:
        place = Path(path).resolve()
        if place in once:
            other = "" if once[place] == Path(path) else f", the other time as {once[place]}"
            raise ConfigError(f"{path}: the take was given twice{other}; give it once")
        once[place] = Path(path)
    plain = [Path(path).name.removesuffix(".h5").removesuffix(".olat") for path in paths]
    full = [f"{Path(path).resolve().parent.name}-{name}" for path, name in zip(paths, plain, strict=True)]
    names = [long if plain.count(name) > 1 else name for name, long in zip(plain, full, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"several takes are named '{name}'; rename their files")
    return names


def assign_splits(
    subjects: Sequence[str], splits: Mapping[str, float | Sequence[str]], seed: int
) -> dict[str, str]:
    """The split of every subject: those named, then shares in an order that depends on seed and name, else 'train'.

    Raises
    ------
    ConfigError
        A subject is unknown, or named in two splits.
    """
    chosen: dict[str, str] = {}
    for split, wanted in splits.items():
        for subject in () if isinstance(wanted, float) else wanted:
            if subject not in subjects:
                raise ConfigError(f"split '{split}': subject '{subject}' is unknown, expected {', '.join(subjects)}")
            if chosen.setdefault(subject, split) != split:
                raise ConfigError(f"subject '{subject}' is in the splits {chosen[subject]} and {split}, expected one")
    left = sorted(set(subjects) - set(chosen), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    for split, wanted in splits.items():
        if isinstance(wanted, float):
            for subject in left[: int(wanted * len(subjects) + 0.5)]:
                chosen[subject] = split
            left = [subject for subject in left if subject not in chosen]
    return {subject: chosen.get(subject, "train") for subject in subjects}


def fingerprint(take: Take) -> str:
    """What tells a take's content, without reading its pictures: its provenance, instants, quality and statistics."""
    digest = hashlib.sha256(json.dumps([rig_to_document(take.rig), take.notes], sort_keys=True).encode())
    digest.update(f"{take.path.stat().st_size} {take.codes_shape} {take.box} {take.encoding}".encode())
    for array in (take.quality, take.observations, take.weights_after, take.reference_ticks, take.times_s):
        digest.update(np.ascontiguousarray(array).tobytes())
    for name in sorted(take.stats):
        digest.update(np.ascontiguousarray(take.stats[name]).tobytes())
    return digest.hexdigest()


def write_plan(folder: Path, plan: SetPlan) -> None:
    """Write the plan where workers find it."""
    document = {
        "config": plan.config.model_dump(mode="json"), "takes": [asdict(take) for take in plan.takes],
        "shards": [asdict(shard) for shard in plan.shards], "bank_sha256": plan.bank_sha256,
        "models_sha256": plan.models_sha256, "digest": plan.digest,
    }
    build = folder / BUILD
    build.mkdir(parents=True, exist_ok=True)
    read_plan.cache_clear()  # the same takes may be called otherwise than before
    with whole_file(build / "plan.json", overwrite=True) as part:
        part.write_text(json.dumps(document, indent=1), encoding="utf-8")


@lru_cache(maxsize=4)
def read_plan(folder: str, digest: str) -> SetPlan:
    """The plan in the folder of an unfinished set; ``digest`` says which one is meant."""
    path = Path(folder) / BUILD / "plan.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        plan = SetPlan(
            ShardConfig.model_validate(document["config"]), tuple(TakePlan(**item) for item in document["takes"]),
            tuple(ShardPlan(**item) for item in document["shards"]), document["bank_sha256"],
            document["models_sha256"], document["digest"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: the plan cannot be read: {' '.join(str(error).split())}; the folder must be "
                          "visible to all workers under the same path") from error
    if plan.digest != digest:
        raise FormatError(f"{path}: belongs to another build; two builds must not share a folder")
    return plan


def settings_of(config: ShardConfig) -> dict[str, Any]:
    """Settings that decide the bytes of shards, without folders; how subjects are split does not."""
    settings = config.model_dump(mode="json", exclude={"splits"})
    for name in MODELS:
        settings["labels"][name] = settings["labels"][name] and Path(settings["labels"][name]).name
    return settings


def _settle_labels(config: ShardConfig, truth: bool, scheduler: str) -> tuple[ShardConfig, str]:
    """Settings that mean the same to every worker, and a hash of the user's networks, '' without any.

    The backend is decided here: 'auto' would be decided by what each worker finds.
    """
    given = {name: path for name in MODELS if (path := getattr(config.labels, name)) is not None}
    digest = hashlib.sha256()
    for name, path in given.items():
        if name != "models":
            if not Path(path).is_file():
                raise ConfigError(f"labels.{name}: {path} is no file")
            digest.update(f"{name} {file_sha256(path)}".encode())
    settled = {name: str(task_path(path, scheduler)) for name, path in given.items()}
    settled["parsing"] = make_labeller(config.labels, {} if truth else None).name
    return config.model_copy(update={"labels": config.labels.model_copy(update=settled)}), (
        digest.hexdigest() if given else "")


def _content(config: ShardConfig, bank_sha256: str, models_sha256: str) -> str:
    return json.dumps([settings_of(config), bank_sha256, models_sha256, __version__], sort_keys=True)
