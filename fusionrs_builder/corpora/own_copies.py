"""Somebody's own copies of corpora, put into the settings of somebody else's build."""

import os
from collections.abc import Mapping
from typing import Any

from fusionrs_builder.corpora import published
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings

INDEX = "fusionrs-index"
"""The format of a corpus that is an index into others."""


def placed(corpora: Mapping[str, Mapping[str, Any]], copies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The tables of those corpora that can be had: a copy is named, or this package fetches them.

    Args:
        corpora: tables of fusionrs.toml by name, without a path.
        copies: path of each corpus, as published; of one that is an index into others the file is meant, and
            `CORPUS.SOURCE` names the copy of each source.

    Raises:
        UsageError: a copy is named of a corpus that is none of these, or of a source where there are none.
    """
    paths: dict[str, dict[str, str]] = {name: {} for name in corpora}
    for name, path in copies.items():
        corpus, _, source = name.partition(".")
        if corpus not in corpora:
            raise UsageError(f"--from {name}: the release has no corpus {corpus}; it has {', '.join(sorted(corpora))}")
        if source and corpora[corpus].get("format") != INDEX:
            raise UsageError(f"--from {name}: {corpus} is one copy: --from {corpus}=PATH")
        paths[corpus][source] = os.path.abspath(os.path.expanduser(path))
    tables = {name: _placed(table, paths[name]) for name, table in corpora.items()}
    return {name: table for name, table in tables.items() if _is_had(name, table)}


def _placed(table: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    own = {"index" if table.get("format") == INDEX else "from": paths[""]} if "" in paths else {}
    sources = {name: path for name, path in paths.items() if name}
    return {**table, **own, **({"sources": sources} if sources else {})}


def _is_had(name: str, table: Mapping[str, Any]) -> bool:
    fetched = published.is_fetched(name, CorpusSettings.model_validate(table))
    return fetched or bool(table.get("from") or table.get("index"))
