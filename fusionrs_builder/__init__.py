"""FusionRS builder: public remote-sensing corpora in, an RGB-infrared-text dataset out.

The stages as functions are in `fusionrs_builder.pipeline`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionrs_builder.release.load import load
    from fusionrs_builder.workspace import Workspace

__version__ = "0.1.0"

__all__ = ["Workspace", "__version__", "load"]

# The functions of the pipeline are not here: `translate`, `caption` and `curate` name the wings.
_HOME = {"Workspace": "workspace", "load": "release.load"}


def __getattr__(name: str) -> Any:
    """Import on first use: `fusionrs-build --help` must not wait for pyarrow."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
