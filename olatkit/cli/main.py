"""The ``olatkit`` command: loads a command's module only when it is asked for."""

import logging
import os
import sys
from importlib import import_module
from keyword import iskeyword

import click

from olatkit import __version__

# Each name is a module of this package that defines ``command``; the text is what `olatkit --help` shows.
COMMANDS = {
    "bank": "Make, explain and show a bank of environment maps.",
    "evaluate": "Measure a trained network on subjects and light it has never seen.",
    "envmap": "Explain, shrink, turn, show and encode environment maps.",
    "build-shards": "Turn takes into shards that a network is trained from.",
    "shards": "Explain, verify, show and merge sets of shards.",
    "report": "Write the report page of a take again.",
    "calibrate": "Measure the stage: light directions and gains, colour, dark frame, crosstalk.",
    "export-lp": "Write a take's lights and pictures for tools of reflectance transformation imaging.",
    "import": "Turn photographs under one light each into a take.",
    "info": "Explain any file: stream, take, rig, schedule, map, shards, training.",
    "ingest": "Demultiplex a high-speed capture into motion-compensated OLAT imagesets.",
    "models": "Get the small public models that face labels can use.",
    "normals": "Make normals, albedo, occlusion and a diffuse/specular split of a take.",
    "render": "Relight a take under environment maps: the weighted sum of its OLAT images.",
    "simulate": "Record a take on a simulated light stage, with ground truth.",
    "train": "Train the relighting network on shards.",
}

# What an interrupted command says of what it kept. One that keeps something with certain options only puts its text
# into the context's ``meta`` under STOPPED.
RUN_AGAIN = "run the same command again to go on"
KEPT = dict.fromkeys(("bank", "build-shards", "ingest", "import", "normals", "render"), RUN_AGAIN) | {
    "train": "checkpoints that are there stay, --resume goes on from the newest"
}
STOPPED = "olatkit.stopped"


def load_command(name: str) -> click.Command:
    """The command of a name in :data:`COMMANDS`; its module has ``_`` for ``-`` and after words that Python reserves."""
    module = name.replace("-", "_") + ("_" if iskeyword(name) else "")
    return import_module(f"olatkit.cli.{module}").command


class _LazyGroup(click.Group):
    """Lists the commands without importing them, so that ``olatkit --help`` is quick."""

    kept = "nothing is half-written, finished files stay"  # of the command that was interrupted

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, SystemError) as error:
            # A compiled function that was interrupted is said to have returned a result with an exception set.
            if isinstance(error, SystemError) and not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            self.kept = ctx.meta.get(STOPPED) or KEPT.get(ctx.invoked_subcommand or "", self.kept)
            raise KeyboardInterrupt from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return load_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="olatkit")
@click.option("-v", "--verbose", count=True, help="Say more; twice for debugging.")
def group(verbose: int) -> None:
    """From a raw high-speed light-stage stream to OLAT imagesets and relit pictures.

    Exit code 0: done. 1: a problem with the data. 2: wrong usage. Both are told in one line.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Once())
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", handlers=[handler])


class _Once(logging.Filter):
    """Lets a warning through once: a rig with close lights says so whenever a step makes another one of it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno < logging.WARNING or text not in self._said:
            self._said.add(text)
            return True
        return False


def _usage_line(error: click.ClickException) -> str:
    """What was wrong with the words of a command, and where the right ones stand; choices come as a line each."""
    context = getattr(error, "ctx", None)
    said = " ".join(error.format_message().split()).rstrip(".")
    remedy = f"ry '{context.command_path if context else 'olatkit'} --help'"
    return f"{said} T{remedy}" if said.endswith("?") else f"{said}; t{remedy}"


def main() -> None:
    """Run the command line; a problem with the data is one line on stderr and exit code 1, wrong usage one and 2."""
    from olatkit.errors import OlatkitError

    try:
        group.main(prog_name="olatkit", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.exceptions.NoArgsIsHelpError as help_:
        help_.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"olatkit: {_usage_line(error)}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        assert isinstance(group, _LazyGroup)
        click.echo(f"stopped; {group.kept}", err=True)
        # An interruption may leave a lock of a thread pool taken, on which the interpreter would wait for ever.
        sys.stdout.flush()
        os._exit(130)
    except (OlatkitError, OSError, MemoryError) as error:
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            logging.exception("traceback")
        text = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:  # permissions, full disks
            text = f"{error.filename}: {error.strerror}"
        click.echo(f"olatkit: {' '.join(text.split()) or type(error).__name__}", err=True)
        sys.exit(1)
    except Exception as error:
        # A mistake of ours or an input nobody thought of: still one line, and the place only on request.
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            logging.exception("traceback")
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        click.echo(f"olatkit: unexpected {text}; olatkit -vv shows where, please report it", err=True)
        sys.exit(1)
