import pytest

from fusionrs_builder.errors import UsageError
from fusionrs_builder.translate.pairs import pattern


def test_a_pattern_is_compiled_or_refused():
    assert pattern(None) is None
    assert pattern("_(2019|2020)").search("naip/m_2019_x")
    with pytest.raises(UsageError, match=r"'\(' is not a regular expression"):
        pattern("(")
