"""The command line: thin commands over the core. Nothing but click is imported until a command runs."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

import click

COMMANDS = {
    "run": "Run a suite: train, distil, compress, score, measure, report.",
    "plan": "Show what a run would do: cells, stages, what is in the store, what is missing.",
    "list": "List what is installed (tasks, students, compressors, reporters, …), or describe one.",
    "explain": "Say for each stage of a cell whether it is in the store, and why not.",
    "report": "Write a suite's report again from its record.",
    "compare": "Say what differs between two records, and whether it is significant: for CI.",
    "recommend": "Name the row to take: the fastest, smallest or best that meets your bars, and how sure that is.",
    "leaderboard": "Merge records of machines and people into tables that rank only what can be compared.",
    "schema": "Print the JSON Schema of records, or check records against it.",
    "predict": "Answer texts with the artifact of one cell.",
    "export": "Write one cell's artifact as a folder for others, with a model card.",
    "doctor": "Check this machine, the plugins, the offline roots and the store.",
    "cache": "Look after the store.",
    "new": "Write a suite for your own data.",
    "plugin": "Write a plugin, and check that it keeps its contract.",
}

EPILOG = """\b
Examples:
  harness run                                  the quickstart, offline, in minutes
  harness run suites/rureviews-scratch.toml
  harness plan suites/quickstart.toml --cells
  harness new suite --task sentiment --data reviews.csv

\b
Exit codes: 0 all done, 1 some cell failed, 2 wrong usage or suite,
3 internal error or a disk that refuses, 4 the budget was too short for all,
5 nothing selected, 130 interrupted."""


class Lazy(click.Group):
    """Commands known by name and summary; a command's module is imported when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of a first day with the tool."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"harness.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command when there is none of that name."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from harness.errors import choices, did_you_mean

            ctx.fail(f"no command '{args[0]}'.{did_you_mean(args[0], COMMANDS)} Known: {choices(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=Lazy, epilog=EPILOG)
@click.version_option(package_name="harness")
def cli() -> None:
    """What distillation, quantization, pruning and ONNX buy you: on your task, on your machine."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; expected errors become text and an exit code, bugs keep their traceback."""
    sys.exit(main_inner(arguments))


def _open_what_is_closed() -> None:
    """Streams that were closed before the start lead nowhere: the next file that is opened would take their place."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def main_inner(arguments: list[str] | None = None) -> int:
    """The same, returning the exit code."""
    from harness.errors import HarnessError

    _open_what_is_closed()
    try:
        return int(cli.main(arguments, prog_name="harness", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; finished stages are kept, the same command goes on from there", err=True)
        return 130
    except HarnessError as error:
        from harness.cli.common import talk

        talk(str(error))
        return error.exit_code
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from harness.cli.common import talk
        from harness.errors import refused

        if said := refused(error):
            talk(f"{said}. What is finished is kept, the same command goes on there")
        else:
            traceback.print_exc()
        return 3
