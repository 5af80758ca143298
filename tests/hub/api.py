"""What the loopback Hub answers: the part of the Hub's HTTP API that `huggingface_hub` and `datasets` use."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from .messages import Account, Answer, Request, cut
from .repository import DATE, Commit, File, RefusedError, Repository
from .storage import Storage

WRITING = ("POST", "PUT", "DELETE")


class Hub:
    """The Hub.

    Args:
        url: address of its API.
        storage_url: address of its storage, on another host, as the Hub's is.
        page: entries a page of a tree.
        part: bytes a part of an upload; larger files go in several. None: each goes in one.

    Attributes:
        accounts: by token.
        repositories: by name.
    """

    def __init__(self, url: str, storage_url: str, page: int = 1000, part: int | None = None) -> None:
        self.url, self.page = url, page
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.storage = Storage(url, storage_url, self.blobs, part)
        self.lock = threading.RLock()
        name, revision = r"(?P<name>[^/]+/[^/]+?)", r"(?P<revision>[^/]+)"
        self.routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(pattern.format(name=name, rev=revision, api=f"/api/datasets/{name}")), answer)
            for method, pattern, answer in (
                ("GET", "/api/whoami-v2", self.whoami),
                ("POST", "/api/validate-yaml", self.validate),
                ("POST", "/api/repos/create", self.create),
                ("DELETE", "/api/repos/delete", self.delete),
                ("POST", "/api/repos/move", self.move),
                ("GET", "{api}/refs", self.refs),
                ("GET", "{api}/commits/{rev}", self.commits),
                ("GET", "{api}/tree/{rev}(/(?P<path>.+))?", self.tree),
                ("POST", "{api}/paths-info/{rev}", self.paths_info),
                ("POST", "{api}/preupload/{rev}", self.preupload),
                ("POST", "{api}/commit/{rev}", self.commit),
                ("POST", "{api}/super-squash/{rev}", self.squash),
                ("POST", "{api}/branch/{rev}", self.branch),
                ("DELETE", "{api}/branch/{rev}", self.delete_branch),
                ("POST", "{api}/tag/{rev}", self.tag),
                ("DELETE", "{api}/tag/{rev}", self.delete_tag),
                ("PUT", "{api}/settings", self.settings),
                ("GET", "{api}(/revision/{rev})?", self.info),
                ("POST", r"/datasets/{name}\.git/info/lfs/objects/batch", self.batch),
                ("POST", r"/datasets/{name}\.git/info/lfs/objects/verify", self.verify),
                ("GET", "/datasets/{name}/resolve/{rev}/(?P<path>.+)", self.file),
                ("GET", "/api/resolve-cache/datasets/{name}/{rev}/(?P<path>.+)", self.cached),
                ("POST", "/api/complete_multipart", self.complete),
                ("PUT", "/storage/(?P<oid>[0-9a-f]{{64}})/(?P<name>.+)", self.put),
                ("GET", "/storage/(?P<oid>[0-9a-f]{{64}})", self.blob),
            )
        ]

    def answer(self, request: Request) -> Answer:
        """Answer a request. One at a time: no change is seen half done."""
        method = "GET" if request.method == "HEAD" else request.method
        try:
            with self.lock:
                for verb, pattern, answer in self.routes:
                    found = pattern.fullmatch(request.path) if verb == method else None
                    if found:
                        parts = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
                        return answer(request, **parts)
            raise RefusedError(404, f"no such route: {method} {request.path}")
        except RefusedError as refused:
            headers = {"X-Error-Message": str(refused), **({"X-Error-Code": refused.code} if refused.code else {})}
            return Answer.of({"error": str(refused)}, refused.status, headers)

    def account(self, request: Request) -> Account | None:
        """Raises: RefusedError, 401: a token that nobody has."""
        if request.token and request.token not in self.accounts:
            raise RefusedError(401, "Invalid credentials in Authorization header")
        return self.accounts[request.token] if request.token else None

    def may_write(self, request: Request, org: str) -> None:
        """Raises: RefusedError, 401 or 403: whoever asks may not write to what belongs to `org`."""
        account = self.account(request)
        if account is None:
            raise RefusedError(401, "Invalid username or password.")
        if account.role == "read":
            raise RefusedError(403, "Forbidden: you must use a write token to upload to a repository.")
        if org not in (account.name, *account.orgs):
            raise RefusedError(403, f"Forbidden: you don't have the rights to write to the namespace {org!r}")

    def repository(self, request: Request, name: str) -> Repository:
        """The repository that a request is about, and may be.

        Raises:
            RefusedError: 401 without a token, 404 with one: it is not there, or not to be seen; 403: not to be written.
        """
        account, found, org = self.account(request), self.repositories.get(name), name.split("/")[0]
        is_member = account is not None and org in (account.name, *account.orgs)
        if found is None or (found.private and not is_member):
            raise RefusedError(404 if account else 401, "Repository not found", "RepoNotFound")
        if request.method in WRITING and not request.path.startswith(f"/api/datasets/{name}/paths-info/"):
            self.may_write(request, org)
        return found

    def whoami(self, request: Request) -> Answer:
        account = self.account(request)
        if account is None:
            raise RefusedError(401, "Invalid username or password.")
        orgs = [{"type": "org", "name": name, "roleInOrg": "write"} for name in account.orgs]
        token = {"type": "access_token", "accessToken": {"displayName": "a token", "role": account.role}}
        return Answer.of({"type": "user", "name": account.name, "orgs": orgs, "auth": token})

    def validate(self, request: Request) -> Answer:
        content = request.json()["content"]
        if content.startswith("---\n") and "\n---\n" not in content[3:]:
            return Answer.of({"errors": [{"message": "the front matter has no end"}], "warnings": []}, 400)
        return Answer.of({"errors": [], "warnings": []})

    def create(self, request: Request) -> Answer:
        asked = request.json()
        account = self.account(request)
        org = asked["organization"] or (account.name if account else "")
        self.may_write(request, org)
        name = f"{org}/{asked['name']}"
        url = {"url": f"{self.url}/datasets/{name}", "name": name}
        if name in self.repositories:
            return Answer.of({"error": "You already created this dataset repo", **url}, 409)
        self.repositories[name] = Repository(name, asked.get("visibility") == "private", self.blobs)
        return Answer.of(url)

    def delete(self, request: Request) -> Answer:
        asked = request.json()
        repository = self.repository(request, f"{asked['organization']}/{asked['name']}")
        del self.repositories[repository.name]
        return Answer.of({})

    def move(self, request: Request) -> Answer:
        asked = request.json()
        repository = self.repository(request, asked["fromRepo"])
        self.may_write(request, asked["toRepo"].split("/")[0])
        self.repositories[asked["toRepo"]] = self.repositories.pop(repository.name)
        repository.name = asked["toRepo"]
        return Answer.of({})

    def settings(self, request: Request, name: str) -> Answer:
        repository, asked = self.repository(request, name), request.json()
        repository.private = asked.get("visibility", "private" if repository.private else "public") == "private"
        repository.gated = bool(asked.get("gated", repository.gated))
        return Answer.of({"private": repository.private, "gated": repository.gated})

    def info(self, request: Request, name: str, revision: str = "main") -> Answer:
        repository = self.repository(request, name)
        commit = repository.resolve(revision)
        known = {"id": repository.name, "author": name.split("/")[0], "sha": commit.oid, "disabled": False}
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        access = {"private": repository.private, "gated": "auto" if repository.gated else False}
        return Answer.of({**known, **access, "lastModified": DATE, "createdAt": DATE, "siblings": siblings})

    def refs(self, request: Request, name: str) -> Answer:
        repository = self.repository(request, name)

        def told(kind: str, refs: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": key, "ref": f"refs/{kind}/{key}", "targetCommit": oid} for key, oid in refs.items()]

        tags = told("tags", repository.tags)
        return Answer.of({"branches": told("heads", repository.branches), "converts": [], "tags": tags})

    def commits(self, request: Request, name: str, revision: str) -> Answer:
        repository = self.repository(request, name)
        found: list[dict[str, Any]] = []
        commit: Commit | None = repository.resolve(revision)
        while commit:
            found.append({"id": commit.oid, "title": commit.title, "message": "", "authors": [], "date": DATE})
            commit = repository.commits[commit.parent] if commit.parent else None
        return Answer.of(found)

    def tree(self, request: Request, name: str, revision: str, path: str = "") -> Answer:
        commit = self.repository(request, name).resolve(revision)
        entries = commit.entries(path, request.query.get("recursive") == "true")
        if request.query.get("expand") == "true":
            last = {"lastCommit": {"id": commit.oid, "title": commit.title, "date": DATE}}
            entries = [{**entry, **last} for entry in entries]
        start = int(request.query.get("cursor", "0"))
        headers = {}
        if start + self.page < len(entries):
            query = urlencode({**request.query, "cursor": start + self.page})
            headers["Link"] = f'<{self.url}{request.path}?{query}>; rel="next"'
        return Answer.of(entries[start : start + self.page], headers=headers)

    def paths_info(self, request: Request, name: str, revision: str) -> Answer:
        commit = self.repository(request, name).resolve(revision)
        asked = parse_qs(request.body.decode()).get("paths", [])
        return Answer.of([entry for entry in commit.entries(recursive=True) if entry["path"] in asked])

    def preupload(self, request: Request, name: str, revision: str) -> Answer:
        repository = self.repository(request, name)
        commit, told = repository.resolve(revision), []
        for asked in request.json()["files"]:
            path, size = asked["path"], asked["size"]
            mode = "lfs" if repository.in_lfs(commit, path, size) else "regular"
            line = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in commit.files:
                file = commit.files[path]
                line["oid"] = file.sha256 if file.lfs else file.oid
            told.append(line)
        return Answer.of({"files": told})

    def commit(self, request: Request, name: str, revision: str) -> Answer:
        lines = [json.loads(line) for line in request.body.splitlines()]
        made = self.repository(request, name).commit(revision, lines)
        url = f"{self.url}/datasets/{name}/commit/{made.oid}"
        return Answer.of({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})

    def squash(self, request: Request, name: str, revision: str) -> Answer:
        self.repository(request, name).squash(revision, request.json()["message"])
        return Answer()

    def branch(self, request: Request, name: str, revision: str) -> Answer:
        self.repository(request, name).branch(revision, request.json().get("startingPoint"))
        return Answer()

    def delete_branch(self, request: Request, name: str, revision: str) -> Answer:
        repository = self.repository(request, name)
        if revision == "main":
            raise RefusedError(403, "Cannot delete the default branch")
        if repository.branches.pop(revision, None) is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return Answer()

    def tag(self, request: Request, name: str, revision: str) -> Answer:
        repository, tag = self.repository(request, name), request.json()["tag"]
        if tag in repository.tags:
            raise RefusedError(409, f"Tag reference exists already: {tag}")
        repository.tags[tag] = repository.resolve(revision).oid
        return Answer()

    def delete_tag(self, request: Request, name: str, revision: str) -> Answer:
        if self.repository(request, name).tags.pop(revision, None) is None:
            raise RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return Answer()

    def batch(self, request: Request, name: str) -> Answer:
        return Answer.of(self.storage.batch(self.repository(request, name), request.json()["objects"]))

    def verify(self, request: Request, name: str) -> Answer:
        asked = request.json()
        self.storage.verify(self.repository(request, name), asked["oid"], asked["size"])
        return Answer.of({})

    def complete(self, request: Request) -> Answer:
        self.storage.complete(request.json(), request.query["upload"])
        return Answer.of({})

    def put(self, request: Request, oid: str, name: str) -> Answer:
        self._is_stranger(request)
        return Answer(headers={"ETag": self.storage.put(oid, name, request.body)})

    def blob(self, request: Request, oid: str) -> Answer:
        self._is_stranger(request)
        return cut(request, self.blobs[oid], {"ETag": f'"{oid}"'})

    def file(self, request: Request, name: str, revision: str, path: str) -> Answer:
        """Where a file is: in the storage, or behind the cache of small files."""
        commit, file = self._file(request, name, revision, path)
        headers = {"X-Repo-Commit": commit.oid, "X-Linked-Size": str(file.size)}
        if file.lfs:
            where = {"X-Linked-Etag": f'"{file.sha256}"', "Location": self.storage.address(file.sha256)}
            return Answer(302, headers=headers | where)
        where = {"Location": f"/api/resolve-cache/datasets/{name}/{commit.oid}/{quote(path)}"}
        return Answer(307, headers=headers | where | {"X-Linked-Etag": f'"{file.oid}"'})

    def cached(self, request: Request, name: str, revision: str, path: str) -> Answer:
        commit, file = self._file(request, name, revision, path)
        return cut(request, self.blobs[file.sha256], {"ETag": f'"{file.oid}"', "X-Repo-Commit": commit.oid})

    def _file(self, request: Request, name: str, revision: str, path: str) -> tuple[Commit, File]:
        repository = self.repository(request, name)
        account, org = self.account(request), name.split("/")[0]
        if repository.gated and (account is None or org not in (account.name, *account.orgs)):
            raise RefusedError(403 if account else 401, f"Access to dataset {name} is restricted.", "GatedRepo")
        commit = repository.resolve(revision)
        if path not in commit.files:
            raise RefusedError(404, "Entry not found", "EntryNotFound")
        return commit, commit.files[path]

    def _is_stranger(self, request: Request) -> None:
        """The storage is another host: a client that sends it a token gives the token away."""
        if request.token:
            raise RefusedError(400, "Only one auth mechanism allowed")
