from fusionrs_builder.benchmark.nearest import Nearest

from .conftest import records, row


def test_the_record_of_the_same_picture_is_the_nearest():
    pool = records([row(str(n), n) for n in range(6)], "train")
    found = Nearest(records([row("x", 4), row("y", 2)]), pool)
    assert [found(place).id for place in (0, 1)] == ["eurosat/4", "eurosat/2"]


def test_a_record_is_not_its_own_neighbour():
    own = records([row("a", 1), row("b", 2), row("c", 1)])
    found = Nearest(own, own)
    assert (found(0).id, found(2).id) == ("eurosat/c", "eurosat/a")
    assert found(1) is not None and found(1).id != "eurosat/b"


def test_alone_it_has_no_neighbour():
    own = records([row("a", 1)])
    assert Nearest(own, own)(0) is None
    assert Nearest(own, records([row("b", 2, rgb=False)]), "rgb")(0) is None


def test_a_damaged_picture_is_nobodys_neighbour_and_has_none():
    broken = {"bytes": b"no image", "path": None}
    pool = records([row("a", 1, ir=broken), row("b", 2)], "train")
    found = Nearest(records([row("x", 1), row("y", 3, ir=broken)]), pool)
    assert found(0).id == "eurosat/b" and found(1) is None
