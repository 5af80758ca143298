"""What a caption says, claim by claim, held against what was measured and what the corpus labels say."""

from fusionrs_builder.caption.claims.check import CHECKS, Finding, findings

__all__ = ["CHECKS", "Finding", "findings"]
