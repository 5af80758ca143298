"""Uploads of large files to the loopback Hub: the LFS batch API, in one part or in several."""

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

from .repository import RefusedError, Repository


class Storage:
    """Blobs by sha256, and the uploads that are under way.

    Args:
        url: of the Hub.
        storage_url: of the storage.
        blobs: what is stored.
        part: bytes a part; larger files go in several. None: each goes in one.
    """

    def __init__(self, url: str, storage_url: str, blobs: dict[str, bytes], part: int | None) -> None:
        self.url, self.storage_url, self.blobs, self.part = url, storage_url, blobs, part
        self.numbers = itertools.count()
        self.uploads: dict[str, dict[int, bytes]] = {}

    def address(self, oid: str) -> str:
        return f"{self.storage_url}/storage/{oid}"

    def batch(self, repository: Repository, asked: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Where to send each object; nothing is said of those that are there."""
        told = []
        for each in asked:
            line = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in repository.objects:
                verify = {"href": f"{self.url}/datasets/{repository.name}.git/info/lfs/objects/verify"}
                line["actions"] = {"upload": self._upload(each["oid"], each["size"]), "verify": verify}
            told.append(line)
        return {"transfer": "multipart" if self.part else "basic", "objects": told}

    def _upload(self, oid: str, size: int) -> dict[str, Any]:
        if self.part is None or size <= self.part:
            return {"href": f"{self.address(oid)}/whole"}
        upload = f"upload-{next(self.numbers)}"
        self.uploads[upload] = {}
        parts = range(1, -(-size // self.part) + 1)
        header = {f"{number:05d}": f"{self.address(oid)}/{upload}/{number}" for number in parts}
        href = f"{self.url}/api/complete_multipart?upload={upload}"
        return {"href": href, "header": {"chunk_size": str(self.part), **header}}

    def put(self, oid: str, name: str, body: bytes) -> str:
        """Store a whole object or a part of one; returns its ETag.

        Raises:
            RefusedError: 400, a whole object is not what its name says; 404, nobody began such an upload.
        """
        if name == "whole":
            self._keep(oid, body)
        else:
            upload, number = name.split("/")
            if upload not in self.uploads:
                raise RefusedError(404, "The specified upload does not exist")
            self.uploads[upload][int(number)] = body
        return f'"{hashlib.md5(body).hexdigest()}"'

    def complete(self, asked: dict[str, Any], upload: str) -> None:
        """Put the parts of an upload together. Doing it twice does no harm.

        Raises:
            RefusedError: 400, a part is missing or is not the one named, or the whole is not what its name says.
        """
        if asked["oid"] in self.blobs:
            return
        parts = self.uploads.get(upload, {})
        named = {part["partNumber"]: part["etag"] for part in asked["parts"]}
        if named != {number: f'"{hashlib.md5(body).hexdigest()}"' for number, body in parts.items()}:
            raise RefusedError(400, "One or more of the specified parts could not be found")
        self._keep(asked["oid"], b"".join(parts[number] for number in sorted(parts)))
        del self.uploads[upload]

    def verify(self, repository: Repository, oid: str, size: int) -> None:
        """Make an object one of a repository.

        Raises:
            RefusedError: 404, it is not stored, or has another size.
        """
        if len(self.blobs.get(oid, b"")) != size:
            raise RefusedError(404, f"Object {oid} is not stored")
        repository.objects.add(oid)

    def _keep(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise RefusedError(400, "The sha256 you specified did not match what we received")
        self.blobs[oid] = body
