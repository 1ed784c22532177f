"""An import that is killed goes on: no picture is read twice, none is lost, and the bytes are those of a run in one go."""

import random
from pathlib import Path

import pytest
from photographs import directions, manifest, sphere, write_photographs
from take_runs import child, leftovers, strike

from olatkit.io.manifests import read_manifest
from olatkit.io.takes import open_take
from olatkit.jobs import import_photographs as job
from olatkit.jobs.import_photographs import import_photographs

LIGHTS = directions(30)
# Pictures of which a run makes about one in ten milliseconds.
SIZE = (192, 192)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photographs(folder, sphere(LIGHTS, SIZE), LIGHTS)
    manifest(folder)
    return folder


def run(photos: Path, out: Path, **given: object) -> job.ImportSummary:
    return import_photographs(photos, read_manifest(photos / "manifest.yaml"), out, scheduler="sync", **given)


@pytest.fixture(scope="module")
def whole(photos: Path) -> bytes:
    return run(photos, photos.parent / "whole.olat.h5").take.read_bytes()


def _stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.with_name(out.name + ".parts").glob("0*.h5")}


@pytest.mark.slow
def test_killed_runs_end_in_the_same_bytes(photos: Path, tmp_path: Path, whole: bytes, server) -> None:
    """Struck again and again, every run keeps what the ones before it made."""
    out, rng, struck, made = tmp_path / "k.olat.h5", random.Random(4), 0, {}
    for _ in range(8):
        struck += strike(child(server, run, photos, out), out, rng.uniform(0, 0.2))
        if out.exists():
            break
        assert made.items() <= _stamps(out).items()
        made = _stamps(out)
    if not out.exists():
        assert run(photos, out).resumed == len(made)
    assert out.read_bytes() == whole
    assert struck >= 2


@pytest.mark.parametrize("step", ["join_light_parts", "mark_joined", "write_report"])
def test_a_run_that_ends_late_loses_nothing(
    photos: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """All pictures are made, and the run stops before one of its last steps."""
    out = tmp_path / "l.olat.h5"

    def killed(*_args: object, **_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, step, killed)
        with pytest.raises(KeyboardInterrupt):
            run(photos, out, report=True)
    with monkeypatch.context() as patch:
        patch.setattr(job, "_import_light", killed)
        done = run(photos, out, report=True)
    assert done.resumed == len(LIGHTS)
    assert done.saturated == int((open_take(out).quality > 0).sum())
    assert out.read_bytes() == whole
    assert leftovers(out) == [out.name]
    assert (tmp_path / "l.report.html").is_file()
