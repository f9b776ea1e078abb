"""`harness plugin new`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.common import talk
from harness.plugins import load_registry
from harness.scaffold.names import check_name
from harness.scaffold.writing import KINDS, render, write


@click.command(
    name="new",
    epilog="""\b
Examples:
  harness plugin new compressor my-int4
  harness plugin new task support-desk --out plugins/support-desk""",
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make. Default: NAME, here.")
def command(kind: str, name: str, out: Path | None) -> int:
    """Write a small package that works as it is: hook, one file of work, tests, a suite, a README. No network.

    NAME is what suites will say. It is also the name of the package: lower-case letters, digits, '-' or '_'.
    """
    checked = check_name(name, kind, load_registry().names(kind))
    folder = out or Path(checked.name)
    texts = render(kind, checked)
    write(texts, folder)
    for path in texts:
        click.echo(str(folder / path))
    where = shlex.quote(str(folder))
    talk(f"next: pip install -e {where} && harness plugin check {name} && harness run {where}/suite.toml")
    return 0
