"""Draw docs/groups.jpg: groups that curate found in a built workspace, a row for each kind of link.

python -m docs.make_groups demo
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from docs.make_rows import fitted
from fusionrs_builder.pixels import decode
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

SHOWN, SIDE, GAP, LABEL = 6, 150, 8, 22
KINDS = {
    ("oam-buildings", "place"): "footprints overlap: tiles of three zoom levels",
    ("naip-opengeos", "place"): "footprints overlap: one place on nine dates",
    ("s2-ships", "place"): "footprints overlap: one harbour around several ships",
    ("hit-uav", "look"): "look alike: frames of one flight",
}


def records(workspace: Workspace) -> Iterator[Row]:
    for shard in workspace.shards("curation"):
        yield from workspace.zip(
            shard, {"rgb": ["corpus", "rgb", "ir"], "curation": ["group_id", "grouped_by", "split"]}
        )


def main(workspace: str, out: str = "docs/groups.jpg") -> None:
    """Draw the picture."""
    groups: dict[tuple[str, str], dict[str, list[Row]]] = {kind: {} for kind in KINDS}
    for row in records(Workspace.open(workspace)):
        for kind in row["grouped_by"]:
            if (row["corpus"], kind) in groups:
                groups[row["corpus"], kind].setdefault(row["group_id"], []).append(row)
    sheet = Image.new("RGB", (SHOWN * (SIDE + GAP) + GAP, len(KINDS) * (SIDE + LABEL + GAP) + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, (kind, label) in enumerate(KINDS.items()):
        largest = max(groups[kind].values(), key=len)
        top = GAP + place * (SIDE + LABEL + GAP)
        pen.text((GAP, top), f"{kind[0]}, {len(largest)} records, all in {largest[0]['split']}. {label}", "black", font)
        for column, row in enumerate(largest[:SHOWN]):
            shown = row["rgb"] or row["ir"]
            sheet.paste(fitted(decode(shown["bytes"])).resize((SIDE, SIDE)), (GAP + column * (SIDE + GAP), top + LABEL))
    sheet.save(out, quality=88)
    print(Path(out).resolve())


if __name__ == "__main__":
    main(*sys.argv[1:])
