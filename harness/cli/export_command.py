"""`harness export`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from harness.cli.common import LIBRARIES, QUICKSTART, open_store, open_suite, talk
from harness.measuring.machine import versions


@click.command(
    name="export",
    epilog="""\b
Examples:
  harness export model=lstm-kd,compress=onnx-int8,seed=1
  harness export model=student-kd,compress=onnx --suite suites/reviews.toml --out reviews-onnx
  harness export model=lstm-kd,compress=onnx,seed=2 --license mit --language ru --force""",
)
@click.argument("cell")
@click.option("--suite", default=QUICKSTART, show_default=True, help="The suite that the cell is of.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the suite.")
@click.option("--rehearse", is_flag=True, help="A cell of a rehearsal; its card says so on top.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder (default: exported/ and the model's name).")
@click.option("--force", is_flag=True, help="Replace an earlier export.")
@click.option("--name", help="The model's name (default: suite, row and seed).")
@click.option("--license", "license_", metavar="ID", help="As the hub names it, such as apache-2.0.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Of its texts, such as ru.")
def command(
    cell: str,
    suite: str,
    overrides: tuple[str, ...],
    rehearse: bool,
    out: Path | None,
    force: bool,
    name: str | None,
    license_: str | None,
    languages: tuple[str, ...],
) -> int:
    """Write a cell's artifact as a folder for others: model, encoder, model card, a script that answers.

    CELL is what 'harness predict --only' takes, such as model=lstm-kd,compress=onnx; of several seeds it is the first.
    The script is run, and has to answer as the harness does. Nothing is uploaded.
    """
    from harness.exporting import Wishes, export, gather
    from harness.exporting.card import name_of
    from harness.exporting.folder import check_out
    from harness.exporting.gather import Sources

    wishes = Wishes(name=name, license=license_, languages=languages)
    if out:
        check_out(out, force=force)
    opened = open_suite(suite, cell, overrides, rehearse=rehearse, weights="given")
    store = open_store()
    sources = Sources(
        suite=opened.suite,
        registry=opened.registry,
        context=opened.context,
        mode=opened.mode,
        command=opened.command,
        machine=opened.machine,
        versions=versions(LIBRARIES),
    )
    talk(f"collecting what the store {store.root} knows …")
    found = gather(sources, opened.cells, store)
    talk(f"writing {found.cell.id}, and running its script …")
    target = out or Path("exported") / name_of(found, wishes)
    here = (Path.home(), Path.cwd(), store.root.resolve(), Path(tempfile.gettempdir()).resolve())
    click.echo(export(found, target, wishes, opened.registry, here, force=force))
    return 0
