"""FusionRS builder: public remote-sensing corpora in, an RGB-infrared-text dataset out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionrs_builder.engines.runner import Run
    from fusionrs_builder.pipeline import caption, curate, download, push, run_all, status, translate
    from fusionrs_builder.release.load import load
    from fusionrs_builder.workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "Run",
    "Workspace",
    "__version__",
    "caption",
    "curate",
    "download",
    "load",
    "push",
    "run_all",
    "status",
    "translate",
]

_HOME = {"Run": "engines.runner", "Workspace": "workspace", "load": "release.load"}


def __getattr__(name: str) -> Any:
    """Import on first use: `fusionrs-build --help` must not wait for pyarrow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, 'pipeline')}"), name)
