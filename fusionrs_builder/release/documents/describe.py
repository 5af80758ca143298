"""All that tells of a release and holds no row of it, written from its files and its recipe."""

from collections.abc import Sequence

from fusionrs_builder.release import sums
from fusionrs_builder.release.documents import card, croissant, datasheet, examples, facts, notice
from fusionrs_builder.release.documents.datasheet import Publisher
from fusionrs_builder.release.layout import FOLDERS
from fusionrs_builder.release.recipe import Recipe
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace


def version() -> str:
    """Changes when something would be written otherwise from the same files and recipe."""
    return digest([card.version(), datasheet.version(), croissant.VERSION])


def describe(workspace: Workspace, folder: str, found: Recipe, files: Sequence[str], fingerprint: str) -> None:
    """Write recipe, NOTICE, data sheet, example pictures, croissant.json, SHA256SUMS, and the card last.

    The same files and recipe give the same bytes. The card goes first: a folder that has one is whole.

    Args:
        workspace: where.
        folder: of the release.
        found: how it was built.
        files: names of its files, in the order of their rows.
        fingerprint: of all that is written, to find it current the next time.
    """
    if workspace.exists(f"{folder}/{card.NAME}"):
        workspace.fs.rm_file(workspace.path(folder, card.NAME))
    layer, title, said = f"{folder}/{FOLDERS['default']}", found.push.title, publisher(found.push)
    counted = facts.gather(workspace, layer, files)
    holdings = notice.gather(workspace, layer, files)
    composition = datasheet.gather(workspace, layer, files)
    texts = found.texts()
    texts[notice.NAME] = notice.render(title, holdings)
    texts[datasheet.NAME] = datasheet.render(title, counted, holdings, composition, found.funnel, said)
    for path, text in texts.items():
        workspace.write_bytes(f"{folder}/{path}", text.encode())
    shown = examples.write(workspace, folder, layer, counted.examples())
    paths = [f"{place}/{file}.parquet" for place in FOLDERS.values() for file in files]
    parquet = [sums.hashed(workspace, folder, path) for path in paths]
    described = croissant.croissant(title, counted, holdings, composition, said, parquet)
    workspace.write_json(f"{folder}/{croissant.NAME}", described)
    sums.write(workspace, folder, parquet)
    card.write(workspace, folder, counted, card.Told(found, shown, holdings), files, fingerprint)


def publisher(settings: PushSettings) -> Publisher:
    """What the settings say of the publisher."""
    given = settings.model_dump()
    return Publisher(**{name: given[name] for name in Publisher.__dataclass_fields__})
