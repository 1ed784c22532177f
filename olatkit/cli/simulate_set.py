"""``olatkit simulate --subjects``: a training set of many actors, as exact takes or as recordings."""

import json
from pathlib import Path
from typing import Any

import click

from olatkit.cli.main import RUN_AGAIN, STOPPED
from olatkit.cli.options import progress_bar
from olatkit.cli.simulate import record, refuse_given
from olatkit.wording import counted

# Options that mean nothing where no camera records, and those that mean nothing for actors drawn from seeds.
_CAMERA = {
    "seconds", "seed", "phase", "crosstalk", "ambient", "flicker", "drop", "bad_pixels", "bits", "read_noise", "truth",
}
_MESH = {"mesh", "texture", "flip_texture", "mesh_turn", "mesh_zoom"}


def make_set(
    context: click.Context, out: Path, counts: tuple[int, int, int], form: str, scheduler: str,
    options: dict[str, Any],
) -> None:
    """Make a set; ``counts`` are its actors, how many of them are for tests, and imagesets per take."""
    from olatkit.simulate.cast import draw_cast

    context.meta[STOPPED] = RUN_AGAIN
    refuse_given(context, _MESH, "films one mesh; --subjects draws actors from seeds")
    subjects, tests, imagesets = counts
    cast = draw_cast(subjects, tests, first_seed=options["subject_seed"], speed_px=options["speed_px"])
    if form == "takes":
        refuse_given(context, _CAMERA, "is for recordings; takes of exact imagesets have no camera: give --as streams")
        _make_takes(out, cast, imagesets, scheduler, options)
    else:
        refuse_given(context, {"imagesets"}, "is for takes; --seconds says how long recordings are")
        refuse_given(context, {"scheduler"}, "is for takes; recordings are made one after the other, on threads")
        _record_streams(out, cast, options)


def _make_takes(out: Path, cast: tuple, imagesets: int, scheduler: str, options: dict[str, Any]) -> None:
    """Exact imagesets, straight into takes."""
    from time import monotonic

    from olatkit.io.documents import read_rig, read_schedule
    from olatkit.io.ict_face import read_ict_face
    from olatkit.jobs.simulate_set import SHARDS, SetPlan, simulate_set
    from olatkit.rig import default_rig
    from olatkit.schedule import default_114

    rig = read_rig(options["rig_path"]) if options["rig_path"] else default_rig()
    schedule = read_schedule(options["schedule_path"]) if options["schedule_path"] else default_114()
    model = options["face_model"]
    plan = SetPlan(
        cast, rig, schedule, imagesets, options["size"], options["expression"], options["device"],
        str(model.resolve()) if model else "", read_ict_face(model).sha256 if model else "",
    )
    start = monotonic()
    with progress_bar("simulate", unit="imagesets") as progress:
        done = simulate_set(
            plan, out, scheduler=scheduler, workers=options["workers"], overwrite=options["overwrite"],
            progress=progress, say=lambda line: click.echo(line, err=True),
        )
    made = (len(cast) - done.kept) * imagesets
    if made:
        click.echo(f"{made / (monotonic() - start):.3g} imagesets/s", err=True)
    tests = sum(actor.split == "test" for actor in cast)
    click.echo(f"{out}: {counted(done.imagesets, 'imageset')} of {counted(len(cast), 'subject')}, {tests} for tests; "
               f"{out / SHARDS} has the "
               "settings for build-shards")


def _record_streams(out: Path, cast: tuple, options: dict[str, Any]) -> None:
    """A recording of every actor in a folder of its own; whole ones of an earlier run are kept."""
    from olatkit.errors import OutputExistsError
    from olatkit.io.outputs import whole_file

    said = {name: str(value) for name, value in options.items() if name not in ("workers", "overwrite")}
    path, text = out / "set.json", json.dumps({"streams": said}, indent=1, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text and not options["overwrite"]:
        raise OutputExistsError(f"{path}: was made with other settings; give --overwrite to replace it, or choose "
                                "another folder")
    again = path.exists() and path.read_text(encoding="utf-8") == text
    with whole_file(path, overwrite=True) as part:
        part.write_text(text, encoding="utf-8")
    for number, actor in enumerate(cast):
        # A recording writes its schedule last.
        if again and (out / actor.name / "schedule.json").is_file() and not options["overwrite"]:
            click.echo(f"{actor.name} is kept from an earlier run", err=True)
            continue
        own = {"subject_seed": actor.seed, "speed_px": actor.speed_px, "seed": options["seed"] + number}
        record(out / actor.name, **{**options, **own, "overwrite": again or options["overwrite"]})
