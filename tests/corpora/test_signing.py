import logging

import pytest

from fusionrs_builder.errors import FusionError
from tests.corpora.stac_place import scene, sentinel
from tests.corpora.stac_server import StacServer, box_of


def test_a_token_is_had_renewed_and_never_written(catalogue: StacServer, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        scene(catalogue, f"S2_{number}")
    catalogue.tokens, catalogue.token_life_s = ["sig=of-another"], 60.0  # too short to begin another scene with
    place = sentinel(catalogue)
    place.source = place.source.model_copy(update={"sign": catalogue.url.replace("/api", "/token")})
    catalogue.fail = {"/data/S2_2/B03.tif": [503], "/data/S2_1/B02.tif": [403]}
    with caplog.at_level(logging.DEBUG):
        report = place.fetch()
    assert report.fetched_files == 2
    assert len(catalogue.tokens) > 3
    assert "Retrying again" in caplog.text, "what GDAL says of a retry holds the address"
    catalogue.fail = {"/data/S2_1/B04.tif": [500] * 99}
    place.ask(max_scenes=1)
    with pytest.raises(FusionError) as caught, caplog.at_level(logging.DEBUG):
        place.ask(bbox=box_of(catalogue.folder / "S2_1/B04.tif", (0, 0, 20, 20)))
        place.fetch()
    written = [path.read_bytes() for path in place.folder.rglob("*") if path.is_file()]
    for secret in catalogue.tokens:
        assert secret not in caplog.text + str(caught.value)
        assert not any(secret.encode() in data for data in written)


def test_secrets_of_addresses_are_not_shown(catalogue: StacServer, caplog: pytest.LogCaptureFixture) -> None:
    scene(catalogue, "S2_1")
    for asset in catalogue.items[0]["assets"].values():
        asset["href"] += "?sig=SECRET"
    place = sentinel(catalogue, stac_url=catalogue.url.replace("//", "//me:SECRET@") + "?key=SECRET")
    catalogue.fail = {"/data/S2_1/B04.tif": [503], "/api": [503]}
    with caplog.at_level(logging.DEBUG):
        assert place.fetch().fetched_files == 1
        assert "Retrying again" in caplog.text
        assert not [path for path in place.folder.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()]
        (place.folder / "request.json").unlink()
        catalogue.items[0]["assets"]["B04"]["href"] += "-of-another-day"
        assert place.fetch().kept_files == 1, "another token is no other file"
        messages = []
        (catalogue.folder / "S2_1/B04.tif").write_text("<html>sign in</html>" * 99)
        for keys in (
            {"max_scenes": 7, "bbox": box_of(catalogue.folder / "S2_1/B03.tif", (0, 0, 20, 20))},
            {"year": 1999},
            {"stac_url": "http://me:SECRET@127.0.0.1:9/api?key=SECRET"},
        ):
            place.ask(**keys)
            with pytest.raises(FusionError) as caught:
                place.fetch()
            messages.append(str(caught.value))
    assert "not recognized" in messages[0] and "nothing found" in messages[1] and "refused" in messages[2]
    assert "SECRET" not in caplog.text + "".join(messages)


def test_a_token_goes_to_no_other_catalogue(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    place = sentinel(catalogue, stac_url=catalogue.url)
    place.source = place.source.model_copy(update={"url": "http://127.0.0.1:9/", "sign": "http://127.0.0.1:9/token"})
    assert place.fetch().fetched_files == 1


def test_assets_that_stay_forbidden_are_named(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    catalogue.tokens = ["sig=never-given"]
    with pytest.raises(FusionError, match=r"sentinel2-l2a: scene S2_1: .*B04\.tif: HTTP response code: 403"):
        sentinel(catalogue).fetch()


def test_where_there_is_no_token_it_is_said(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    place = sentinel(catalogue)
    place.source = place.source.model_copy(update={"sign": catalogue.url.replace("/api", "/other")})
    with pytest.raises(FusionError, match="no token from .*/other: HTTP 404: not here"):
        place.fetch()


def test_what_gdal_says_of_a_file_that_is_no_image_holds_no_token(catalogue: StacServer) -> None:
    scene(catalogue, "S2_1")
    place = sentinel(catalogue)
    (catalogue.folder / "S2_1/B04.tif").write_text("<html>sign in</html>" * 99)
    place.source = place.source.model_copy(update={"sign": catalogue.url.replace("/api", "/token")})
    with pytest.raises(FusionError, match=r"B04\.tif: .*not recognized") as caught:
        place.fetch()
    assert "secret" not in str(caught.value)
