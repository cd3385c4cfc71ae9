"""A read-only hub on this machine: the part of the Hugging Face hub's API that our libraries use.

Repositories are the folders ``ROOT/models/OWNER/NAME`` and ``ROOT/datasets/OWNER/NAME``; another
revision of one lies beside it, in ``OWNER/NAME@REVISION`` with ``%2F`` for each slash. A revision
is one commit, named after its files. By hand: ``python tests/hub.py ROOT``, then set HF_ENDPOINT to
the address it prints.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".bin", ".gz", ".parquet", ".safetensors")
"""What the hub keeps outside of git, and so all files above ``lfs`` bytes: such a file's ETag is
its SHA-256, not its git blob id."""


@dataclass(frozen=True)
class Revision:
    """One folder as a commit of a repository, named after its contents."""

    kind: str
    name: str
    folder: Path
    ref: str = "main"
    lfs: int = 10_000_000

    @cached_property
    def files(self) -> dict[str, Path]:
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path for path in found}

    @cached_property
    def commit(self) -> str:
        total = hashlib.sha1(f"{self.kind}/{self.name}".encode())
        for name in self.files:
            total.update(f"{name} {self.etags[name]}".encode())
        return total.hexdigest()

    def large(self, name: str) -> bool:
        return name.endswith(LARGE) or self.files[name].stat().st_size > self.lfs

    @cached_property
    def etags(self) -> dict[str, str]:
        return {name: self.etag_of(name) for name in self.files}

    def etag_of(self, name: str) -> str:
        content = self.files[name].read_bytes()
        if self.large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        size = self.files[name].stat().st_size
        made: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": self.etags[name]}
        if self.large(name):
            made["lfs"] = {"oid": self.etags[name], "size": size, "pointerSize": 130}
        return made

    def tree(self, below: str, recursive: bool) -> list[dict[str, Any]] | None:
        """List a folder; None when there is none."""
        prefix = f"{below}/" if below else ""
        inside = [name for name in self.files if name.startswith(prefix)]
        if below and not inside:
            return None
        deep = {name.split("/", prefix.count("/") + 1)[prefix.count("/")] for name in inside}
        folders = {prefix + word for word in deep if prefix + word not in self.files}
        if recursive:
            folders = {
                "/".join(name.split("/")[:depth])
                for name in inside
                for depth in range(prefix.count("/") + 1, name.count("/") + 1)
            }
        files = [name for name in inside if recursive or "/" not in name.removeprefix(prefix)]
        directories = [{"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(
            path.encode()).hexdigest()} for path in sorted(folders)]  # fmt: skip
        return directories + [self.entry(name) for name in files]

    def info(self, gated: bool) -> dict[str, Any]:
        return {
            "id": self.name,
            "_id": self.commit[:24],
            "sha": self.commit,
            "private": False,
            "disabled": False,
            "gated": "manual" if gated else False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": name} for name in self.files],
        }


class Repository:
    """The revisions of one repository, by branch or tag; without ``main`` there is none."""

    def __init__(self, revisions: Sequence[Revision]) -> None:
        self.refs = {revision.ref: revision for revision in revisions}

    @property
    def commit(self) -> str:
        return self.refs["main"].commit

    def at(self, revision: str) -> Revision | None:
        """Return what a branch, tag or commit names."""
        found = self.refs.get(revision.removeprefix("refs/heads/"))
        commits = (one for one in self.refs.values() if one.commit == revision)
        return found or next(commits, None)


class Hub(ThreadingHTTPServer):
    """The server; ``requests`` holds every request so far as ``METHOD /path``."""

    daemon_threads = True

    def __init__(
        self,
        root: Path,
        gated: Collection[str],
        busy: Mapping[str, int],
        cut: Mapping[str, int],
        lfs: int,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        found: dict[tuple[str, str], list[Revision]] = {}
        for kind in ("models", "datasets"):
            for folder in sorted((root / kind).glob("*/*")):
                last, _, ref = folder.name.partition("@")
                name = f"{folder.parent.name}/{last}"
                made = Revision(kind, name, folder, unquote(ref) or "main", lfs)
                found.setdefault((kind, name), []).append(made)
        self.repositories = {key: Repository(revisions) for key, revisions in found.items()}
        self.gated = frozenset(gated)
        self.busy = dict(busy)
        self.cut = dict(cut)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fetched(self, kind: str, name: str) -> set[str]:
        """Return the files of a repository whose contents were asked for."""
        prefix = ("datasets/" if kind == "datasets" else "") + f"{name}/resolve/"
        paths = [r.removeprefix("GET /") for r in self.requests if r.startswith("GET ")]
        asked = [p.removeprefix(prefix) for p in paths if p.startswith(prefix)]
        repository = self.repositories[kind, name]
        split = (_revision(repository, path.split("/")) for path in asked)
        return {"/".join(rest) for _, rest in split}


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Hub

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        address = urlsplit(self.path)
        words = [unquote(word) for word in address.path.strip("/").split("/")]
        path = "/".join(words)
        self.server.requests.append(f"{self.command} /{path}")
        if _take(self.server.busy, path):
            return self.refuse(503, "", "the server is busy")
        if words[0] == "api" and len(words) >= 4 and words[1] in ("models", "datasets"):
            return self.api(words[1], "/".join(words[2:4]), words[4:], address.query, body)
        kind = words.pop(0) if words[0] == "datasets" else "models"
        if len(words) >= 5 and words[2] == "resolve":
            return self.resolve(kind, "/".join(words[:2]), words[3:])
        return self.refuse(404, "", "no such address")

    do_HEAD = do_POST = do_GET

    def api(self, kind: str, name: str, words: list[str], query: str, body: bytes) -> None:
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        verb, asked = words[0] if words else "", words[1:]
        if verb == "refs":
            return self.tell(_refs(repository))
        revision, rest = _revision(repository, asked or ["main"])
        if revision is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {'/'.join(asked)}")
        if verb in ("", "revision"):
            return self.tell(revision.info(name in self.server.gated))
        if verb == "tree":
            recursive = parse_qs(query).get("recursive", [""])[0].lower() in ("true", "1")
            found = revision.tree("/".join(rest), recursive)
            if found is None:
                return self.refuse(404, "EntryNotFound", "no such folder")
            return self.tell(found)
        if verb == "paths-info":
            form = body.startswith(b"{")
            wanted = json.loads(body)["paths"] if form else parse_qs(body.decode())["paths"]
            return self.tell([revision.entry(p) for p in wanted if p in revision.files])
        return self.refuse(404, "", "no such address")

    def resolve(self, kind: str, name: str, words: list[str]) -> None:
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if name in self.server.gated:
            return self.refuse(403, "GatedRepo", f"Access to {kind} {name} is restricted")
        revision, rest = _revision(repository, words)
        if revision is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {words[0]}")
        headers = {"X-Repo-Commit": revision.commit}
        file = "/".join(rest)
        if file not in revision.files:
            return self.refuse(404, "EntryNotFound", "Entry not found", headers)
        content = revision.files[file].read_bytes()
        headers |= {"ETag": f'"{revision.etags[file]}"', "Accept-Ranges": "bytes"}
        if revision.large(file):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        start, end = 0, len(content) - 1
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(content) - int(last))
            end = min(end, int(last)) if first and last else end
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self.send(206 if asked else 200, content[start : end + 1], headers)

    def tell(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(
        self, code: int, word: str, why: str, headers: Mapping[str, str] | None = None
    ) -> None:
        error = {"X-Error-Code": word, "X-Error-Message": why} if word else {}
        self.send(code, json.dumps({"error": why}).encode(), {**(headers or {}), **error})

    def send(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if "/resolve/" in self.path and _take(self.server.cut, unquote(self.path)):
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Say nothing: ``requests`` is the log."""


def _revision(repository: Repository, words: list[str]) -> tuple[Revision | None, list[str]]:
    """Split a path into its revision, which may hold slashes (``refs/convert/parquet``), and rest.

    The libraries quote those slashes in some addresses and not in others.
    """
    for length in range(len(words), 0, -1):
        found = repository.at("/".join(words[:length]))
        if found is not None:
            return found, words[length:]
    return None, words[1:]


def _refs(repository: Repository) -> dict[str, Any]:
    made: dict[str, Any] = {"branches": [], "tags": [], "converts": []}
    for name, revision in repository.refs.items():
        kind, ref = "tags", f"refs/tags/{name}"
        if name == "main":
            kind, ref = "branches", "refs/heads/main"
        elif name.startswith("refs/convert/"):
            kind, ref = "converts", name
        made[kind].append({"name": name, "ref": ref, "targetCommit": revision.commit})
    return made


def _take(left: dict[str, int], path: str) -> bool:
    """Tell whether an injected failure is due for a path, and count it."""
    for part, number in left.items():
        if part in path and number > 0:
            left[part] = number - 1
            return True
    return False


@contextlib.contextmanager
def hub(
    root: Path,
    gated: Collection[str] = (),
    busy: Mapping[str, int] | None = None,
    cut: Mapping[str, int] | None = None,
    lfs: int = 10_000_000,
) -> Iterator[Hub]:
    """Serve a folder.

    ``busy`` maps a part of a path to how many requests get a 503 at first, ``cut`` to how many
    bodies of files end in the middle; ``lfs`` is the size above which a file is not in git.
    """
    server = Hub(root, gated, busy or {}, cut or {}, lfs)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with hub(Path(sys.argv[1])) as here:
        print(here.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
