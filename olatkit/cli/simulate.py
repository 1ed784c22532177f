"""``olatkit simulate``: record a take on the simulated stage."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from olatkit.cli.options import overwrite_option, parse_size, progress_bar, scheduler_option, workers_option

_FILE = click.Path(dir_okay=False, path_type=Path)
_AMOUNT, _COUNT = click.FloatRange(min=0), click.IntRange(min=0)


@click.command(name="simulate")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--size", default="256", show_default=True, callback=parse_size, metavar="PX", help="256 or 320x256.")
@click.option("--seconds", default=0.48, show_default=True, type=_AMOUNT, help="Length of the take.")
@click.option("--subject-seed", default=1, show_default=True, type=_COUNT, help="Who is filmed, and the motion.")
@click.option("--seed", default=1, show_default=True, type=_COUNT, help="Noise, lost frames, random phase.")
@click.option("--speed-px", default=60.0, show_default=True, type=_AMOUNT, help="Peak image speed of the head [px/s].")
@click.option("--expression", default=1.0, show_default=True, type=_AMOUNT, help="Strength of expression; 0 for none.")
@click.option("--face-model", type=_FILE, help="Draw people from this ICT face model (.npz) instead of the built-in head.")
@click.option("--mesh", type=_FILE, help="Film this mesh (OBJ, PLY, GLB) instead; needs pip install 'olatkit[sim]'.")
@click.option("--texture", type=_FILE, help="Colour picture of the mesh.")
@click.option("--flip-texture", is_flag=True, help="Lay the picture on the mesh upside down: its coordinates count so.")
@click.option("--mesh-turn", default="0,0,0", show_default=True, metavar="YAW,PITCH,ROLL",
              help="Degrees that turn the mesh to look at the camera; 0,-90,0 if its up is +Z.")
@click.option("--mesh-zoom", default=1.0, show_default=True, type=_AMOUNT,
              help="Above 1 the lower part of the mesh leaves the picture.")
@click.option("--rig", "rig_path", type=_FILE, help="Lights.  [default: 114 on a sphere]")
@click.option("--schedule", "schedule_path", type=_FILE, help="Lighting cycle.  [default: 120 frames]")
@click.option("--phase", default="random", show_default=True, metavar="N", help="Frame that holds slot 0, or random.")
@click.option("--crosstalk", default=0.0, show_default=True, help="Share of each light that leaks into the next frame.")
@click.option("--ambient", default=0.0, show_default=True, help="Room light relative to single-light frames.")
@click.option("--flicker", default=0.0, show_default=True, help="Relative ripple of the lights at 100 Hz.")
@click.option("--drop", default=0.0, show_default=True, help="Share of frames that the camera loses.")
@click.option("--bad-pixels", default=0.0, show_default=True, help="Share of stuck pixels.")
@click.option("--bits", default=12, show_default=True, type=click.IntRange(8, 16), help="Bit depth of the camera.")
@click.option("--read-noise", default=20.0, show_default=True, type=_AMOUNT, help="Electrons; a full well has 20,000.")
@click.option("--truth", default="3", show_default=True, metavar="N", help="Instants with ground truth, or all.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or a torch device such as cuda.")
@click.option("--subjects", type=click.IntRange(min=1), help="Make a training set of this many actors instead.")
@click.option("--test-subjects", type=_COUNT,
              help="The last ones of them are for tests.  [default: a tenth, at least one of two or more]")
@click.option("--imagesets", default=12, show_default=True, type=click.IntRange(min=1), help="Length of their takes.")
@click.option("--as", "form", type=click.Choice(["takes", "streams"]), default="takes", show_default=True,
              help="takes: exact imagesets, no camera; streams: a recording of each actor, to be ingested.")
@scheduler_option
@workers_option
@overwrite_option
@click.pass_context
def command(
    context: click.Context, out: Path, subjects: int | None, test_subjects: int | None, imagesets: int, form: str,
    scheduler: str, **options: Any,
) -> None:
    """Record a take on a simulated light stage, with ground truth.

    Writes OUT/take.cine, OUT/rig.json, OUT/schedule.json and OUT/truth.h5. The schedule file says phase 0; the
    true phase stands in truth.h5. A mesh moves rigidly, on the CPU: --expression and --device are for the built-in
    head.

    With --subjects N: OUT/actor-01.olat.h5 and so on, takes of N actors with the seeds --subject-seed, --subject-seed
    + 1, ..., ready for build-shards, with their true labels. Each moves at half to one and a half of --speed-px. Run
    it again to go on after an interruption.
    """
    if subjects is None:
        from_set = {"test_subjects", "imagesets", "form", "scheduler"}
        refuse_given(context, from_set, "is for a set of actors: give --subjects too")
        record(out, **options)
        return
    from olatkit.cli.simulate_set import make_set
    from olatkit.simulate.cast import usual_tests

    tests = usual_tests(subjects) if test_subjects is None else test_subjects
    make_set(context, out, (subjects, tests, imagesets), form, scheduler, options)


def refuse_given(context: click.Context, names: Collection[str], why: str) -> None:
    """Raise UsageError for an option that was given and would do nothing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def record(
    out: Path, size: tuple[int, int], seconds: float, subject_seed: int, seed: int, speed_px: float, expression: float,
    face_model: Path | None, mesh: Path | None, texture: Path | None, flip_texture: bool, mesh_turn: str,
    mesh_zoom: float, rig_path: Path | None, schedule_path: Path | None, phase: str, crosstalk: float, ambient: float,
    flicker: float, drop: float, bad_pixels: float, bits: int, read_noise: float, truth: str, device: str,
    workers: int | None, overwrite: bool,
) -> None:
    """Record one take."""
    import numpy as np

    from olatkit.io.documents import read_rig, read_schedule
    from olatkit.io.outputs import refuse_existing
    from olatkit.jobs.simulate import OUTPUTS, simulate
    from olatkit.rig import default_rig
    from olatkit.schedule import default_114
    from olatkit.simulate.ict_subject import make_subject
    from olatkit.simulate.sensor import Sensor
    from olatkit.simulate.stage import Disturbances, Stage
    from olatkit.simulate.subject import Subject

    if (texture or flip_texture) and not mesh:
        raise click.UsageError(f"--{'texture' if texture else 'flip-texture'} needs --mesh")
    if mesh and (expression != 1.0 or device != "cpu"):
        raise click.UsageError("--expression and --device are for the built-in head, not for --mesh")
    if mesh and face_model:
        raise click.UsageError("--mesh and --face-model both say who is filmed: give one of them")
    turn = _angles(mesh_turn)
    instants = _count(truth, "--truth", "all")
    start = _count(phase, "--phase", "random")
    for name in OUTPUTS:
        refuse_existing(out / name, overwrite=overwrite)
    rig = read_rig(rig_path) if rig_path else default_rig()
    schedule = read_schedule(schedule_path) if schedule_path else default_114()
    if start is None:
        start = int(np.random.default_rng([seed, 7]).integers(schedule.cycle))
    ticks = round(seconds * schedule.frame_rate_hz)
    black, white = 64 * 2**bits // 4096, 2**bits - 1
    sensor = Sensor(
        bits=bits, black_level=black, white_level=white, read_noise_e=read_noise, bad_pixels=bad_pixels, seed=seed
    )
    troubles = Disturbances(crosstalk=crosstalk, ambient=ambient, drop=drop, flicker=flicker, seed=seed)
    with progress_bar("simulate") as progress:
        if mesh:
            from olatkit.simulate.mesh import MeshSubject

            subject: Subject = MeshSubject(
                mesh, size, texture=texture, flip_texture=flip_texture, speed_px=speed_px, seed=subject_seed, turn=turn,
                zoom=mesh_zoom,
            )
        else:
            subject = make_subject(
                subject_seed, size, speed_px=speed_px, expression=expression, device=device, face_model=face_model or ""
            )
        stage = Stage(subject, rig, schedule, sensor=sensor, phase=start, disturbances=troubles)
        paths = simulate(
            stage, out, ticks=ticks, truth=instants, workers=workers, overwrite=overwrite, progress=progress
        )
    for path in paths:
        click.echo(path)


def _count(text: str, option: str, word: str) -> int | None:
    """A number, or None for ``word``."""
    if text == word:
        return None
    if not text.isdigit():
        raise click.BadParameter(f"{text!r}, expected a number or '{word}'", param_hint=option)
    return int(text)


def _angles(text: str) -> tuple[float, float, float]:
    """Three angles in degrees from 'yaw,pitch,roll'."""
    try:
        yaw, pitch, roll = (float(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}, expected three numbers such as 0,-90,0", param_hint="--mesh-turn") from error
    return yaw, pitch, roll
