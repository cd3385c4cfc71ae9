"""Serves the pages of a study to browsers of this machine; reads only, and answers GET alone."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from compiler.errors import EnvironmentUnready, StiltscaleError
from compiler.plan import Plan
from runtime import page, standing
from runtime.logs import confined
from runtime.standing import Standing
from runtime.store import Store

FRESH = 2.0
"""Seconds for which one look at the store serves every request."""

SILENT = 20.0
"""Seconds that a connection may say nothing before it is closed."""

OURS = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What our own pages may load: one style sheet and one script, from here, nothing inline."""

REPORT = (
    "sandbox allow-same-origin allow-popups; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data: 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a report may load: its own inline style; no script runs in it."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".tex": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".parquet": "application/octet-stream",
}
"""Files of a report that are given out, and as what."""


@dataclass
class Watched:
    """A study, and the latest look at its store, shared by all requests."""

    plan: Plan
    store: Store
    folder: Path
    study: str
    graph: page.Graph
    _seen: Standing | None = None
    _when: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> Standing:
        """Return how far the study is, at most some seconds old."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._when > FRESH:
                self._seen = standing.look(self.plan, self.store, queue=False)
                self._when = time.monotonic()
            return self._seen


class Server(ThreadingHTTPServer):
    """Knows the study, the secret word of its address, and by which names it may be called."""

    daemon_threads = True

    def __init__(self, watched: Watched, host: str, port: int) -> None:
        self.watched = watched
        self.word = secrets.token_urlsafe(18)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Answer)
        port = int(self.server_address[1])
        shown = f"[{host}]" if ":" in host else host
        local = {"127.0.0.1", "localhost", "[::1]"} | {shown, socket.gethostname().lower()}
        self.names = {f"{name}:{port}" for name in local}
        self.address = f"http://{shown}:{port}/{self.word}/"


class Answer(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    server_version = "stiltscale"
    sys_version = ""
    timeout = SILENT

    def do_GET(self) -> None:
        """Give a page to who calls us by our own name and knows the word."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Like GET, without the page."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the address has a secret word, and requests are many."""

    def _answer(self, *, body: bool) -> None:
        if self.headers.get_all("Host", []) not in [[name] for name in self.server.names]:
            # A page elsewhere could have its name lead here, and read what it must not.
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"another name\n", "text/plain", body=body)
            return
        address = urllib.parse.urlsplit(self.path)
        words = [urllib.parse.unquote(word) for word in address.path.split("/")[1:]]
        known = hmac.compare_digest(words[0].encode(), self.server.word.encode())
        if not known or len(words) < 2:
            self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain", body=body)
            return
        asked = dict(urllib.parse.parse_qsl(address.query, max_num_fields=10))
        try:
            content, kind, rules = self._found(words[1:], asked)
        except KeyError:
            self._send(HTTPStatus.NOT_FOUND, b"not found\n", "text/plain", body=body)
        except (StiltscaleError, OSError) as error:
            text = str(error).encode("utf-8", "replace")
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, text, "text/plain; charset=utf-8", body=body)
        else:
            self._send(HTTPStatus.OK, content, kind, rules, body=body)

    def _found(self, words: list[str], asked: dict[str, str]) -> tuple[bytes, str, str]:
        """Return what an address stands for; raises KeyError when it stands for nothing."""
        watched, html = self.server.watched, KINDS[".html"]
        match words:
            case [""]:
                report = confined(watched.folder / "report" / "report.html", watched.folder)
                text = page.overview(watched.plan, watched.look(), watched.graph, report)
            case ["stages"]:
                number = asked.pop("page", "0")
                at = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 0
                wanted = {k: v for k, v in asked.items() if k in page.FILTERS and v}
                text = page.listing(watched.plan, watched.look(), watched.graph, wanted, at)
            case ["stage", key]:
                if key not in watched.plan.stages:
                    raise KeyError(key)
                text = page.single(
                    watched.plan, watched.look(), watched.store, watched.folder, key, watched.study
                )
            case ["status.json"]:
                body = json.dumps(watched.look().body(), ensure_ascii=False)
                return body.encode("utf-8", "replace"), KINDS[".json"], OURS
            case ["page.css" as name]:
                return page.asset(name), "text/css; charset=utf-8", OURS
            case ["page.js" as name]:
                return page.asset(name), "text/javascript; charset=utf-8", OURS
            case ["report", name]:
                return self._report(name)
            case _:
                raise KeyError("/".join(words))
        return text.encode("utf-8", "replace"), html, OURS

    def _report(self, name: str) -> tuple[bytes, str, str]:
        folder = self.server.watched.folder / "report"
        if "/" in name or "\\" in name or "\0" in name or name.startswith("."):
            raise KeyError(name)
        path = folder / name
        kind = KINDS[path.suffix]
        if not confined(path, folder):
            raise KeyError(name)
        return path.read_bytes(), kind, REPORT

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, rules: str = OURS, *, body: bool
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", rules),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if body:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it went elsewhere
                self.wfile.write(content)


@contextlib.contextmanager
def listening(
    plan: Plan, store: Store, folder: Path, study: str, host: str, port: int
) -> Iterator[Server]:
    """Open the server of a study; raises EnvironmentUnready (E071) when it cannot listen there."""
    watched = Watched(plan, store, folder, study, page.graph(plan))
    try:
        server = Server(watched, host, port)
    except (OSError, UnicodeError) as error:
        raise EnvironmentUnready(
            "E071",
            f"the page cannot be served at {host}:{port}: "
            f"{getattr(error, 'strerror', '') or error}",
            hint="give another --port (0: any free one), or an address of this machine as --host",
        ) from error
    try:
        yield server
    finally:
        server.server_close()
