"""Whose pixels a release may hold: the policy, and what is left of a row whose pixels are withheld."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from fusionrs_builder.release.features import IMAGES
from fusionrs_builder.workspace import Workspace

Policy = Literal["redistributable", "noncommercial", "any"]

NON_COMMERCIAL = re.compile(r"CC-BY-NC(-SA)?-\d\.\d(-[A-Z]+)?", re.IGNORECASE)
"""Licences that let pictures be published again, changed too, but not be sold. Words beside the name are doubts."""

LIMITED = re.compile(r"\bnc\b|non-?\s?commercial|academic|research", re.IGNORECASE)
"""Words of a licence that is not for any purpose, whatever else is said of it."""


def allows(policy: Policy, licence: str, redistributable: bool) -> bool:
    """Whether pixels under such a licence go into a release.

    Args:
        policy: `redistributable`: what anyone may publish again for any purpose; `noncommercial`: also what may be
            published as long as nobody earns by it; `any`: everything, for one's own use.
        licence: SPDX name or the publisher's words.
        redistributable: what the registry, or the user, says of the corpus; unknown means no.
    """
    if policy == "any":
        return True
    if policy == "noncommercial" and NON_COMMERCIAL.fullmatch(licence.strip()):
        return True
    return redistributable and (policy == "noncommercial" or not LIMITED.search(licence))


def withhold(batch: pa.RecordBatch, policy: Policy) -> pa.RecordBatch:
    """The same rows with null images where the policy does not allow their pixels.

    The drawn infrared view goes with the visible one: it was made from it.

    Args:
        batch: rows of a release.
        policy: as in `allows`.
    """
    terms = zip(batch["license"].to_pylist(), batch["redistributable"].to_pylist(), strict=True)
    kept = pa.array([allows(policy, licence or "", bool(free)) for licence, free in terms], pa.bool_())
    if pc.all(kept).as_py() is not False:
        return batch
    for name in IMAGES:
        column = batch[name]
        nothing = pa.nulls(len(column), column.type)
        batch = batch.set_column(batch.schema.get_field_index(name), name, pc.if_else(kept, column, nothing))
    return batch


def withheld(workspace: Workspace, layer: str, names: Iterable[str]) -> Counter[tuple[str, str]]:
    """Rows of release files without pictures, by corpus and `ir_origin`: every record has an infrared view."""
    found: Counter[tuple[str, str]] = Counter()
    for name in names:
        table = workspace.table(layer, name, ["corpus", "ir_origin", "ir.path"])
        table = table.filter(pc.is_null(table["ir"]))
        found.update(zip(table["corpus"].to_pylist(), table["ir_origin"].to_pylist(), strict=True))
    return found
