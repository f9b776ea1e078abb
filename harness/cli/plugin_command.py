"""`harness plugin`."""

from __future__ import annotations

import importlib

import click

SUBCOMMANDS = {
    "new": "Write a small installable package: a plugin, its tests, a README.",
    "check": "Run the conformance kit on a component: toy models, offline, in seconds.",
}


class _Lazy(click.Group):
    """Sub-commands known by name and summary; `plugin_NAME.py` is imported when its command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which an author needs them."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one sub-command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.cli.plugin_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the summaries without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUBCOMMANDS.items()))


@click.group(
    name="plugin",
    cls=_Lazy,
    epilog="""\b
Examples:
  harness plugin new compressor my-int4
  harness plugin check my-int4
  harness plugin check onnx --kind runtime --json""",
)
def command() -> None:
    """Write a plugin, and check that it keeps its contract."""
