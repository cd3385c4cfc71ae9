"""The web page of a study: what it shows, to whom, and what it refuses."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from manystages import NASTY, fail, finish, many

from compiler.errors import EnvironmentUnready
from compiler.plan import Plan
from runtime.server import Server, listening
from runtime.store import Store

BROWSER = shutil.which("chromium")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Plan, Path]]:
    """A study that is half done, served; its messages, logs and question are hostile."""
    root = tmp_path_factory.mktemp("served")
    plan, store, folder = many(40), Store(root / "store"), root / "many"
    trainings = [key for key in plan.stages if key.startswith("train-a")]
    finish(plan, store, ["prepare-t-v1-aa", *trainings[:20]])
    fail(store, trainings[21])
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "job-1.log").write_text(f"begin\n{NASTY}\n")
    (folder / "report").mkdir()
    (folder / "report" / "report.html").write_text(
        "<p>the report</p><script>document.title='owned'</script>"
    )
    (folder / "report" / "notes.sh").write_text("no kind of a report")
    (folder / "secret.json").write_text("{}")
    (folder / "report" / "link.json").symlink_to(folder / "secret.json")
    with listening(plan, store, folder, "s.yaml", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server, plan, folder
        server.shutdown()
        thread.join()


def get(
    server: Server, path: str, host: str | None = None, method: str = "GET", word: str | None = None
) -> tuple[int, str, dict[str, str]]:
    port = server.server_address[1]
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    line.putrequest(method, f"/{server.word if word is None else word}{path}", skip_host=True)
    line.putheader("Host", host or f"127.0.0.1:{port}")
    line.endheaders()
    answer = line.getresponse()
    text = answer.read().decode()
    line.close()
    return answer.status, text, dict(answer.getheaders())


def test_what_it_shows(served: tuple[Server, Plan, Path]) -> None:
    server, _, _ = served
    status, text, _ = get(server, "/")
    assert status == 200
    assert "21 of 161 stages" in text
    assert text.count('class="box"') >= 3
    assert 'href="report/report.html"' in text
    failed = re.findall(r'href="stage/([^"]+)"', text)
    assert len(failed) == 1
    status, text, _ = get(server, f"/stage/{failed[0]}")
    assert status == 200
    assert "smaller micro-batch" in text
    assert "begin" in text
    status, text, _ = get(server, "/stages?state=done&kind=train")
    assert (status, "20 stages" in text) == (200, True)
    assert get(server, "/report/report.html")[1].startswith("<p>the report")
    assert '"failed"' in get(server, "/status.json")[1]


def test_nothing_hostile_is_let_through(served: tuple[Server, Plan, Path]) -> None:
    server, plan, _ = served
    for path in (
        "/",
        f"/stage/{next(k for k in plan.stages if 's21-' in k)}",
        "/stages?word=<script>",
    ):
        _, text, headers = get(server, path)
        assert text.count("<script") == 1, "our own, by its address"
        assert "<b>" not in text
        assert "\x1b" not in text
        assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
        assert "style=" not in text
        assert headers["X-Content-Type-Options"] == "nosniff"
    rules = get(server, "/report/report.html")[2]["Content-Security-Policy"]
    assert rules.startswith("sandbox")
    assert "script" not in rules


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.json", "/report/../secret.json", "/report/..%2fsecret.json",
        "/report/link.json",
        "/report/%2e%2e/secret.json", "/report/notes.sh", "/report/", "/report/.lock",
        "/report/%00.json",
        "/stage/../../x", "/stage/none", "/page.html.j2", "//etc/passwd",
        "/report//etc/passwd.json",
        "/report/..\\secret.json", "",
    ],
)  # fmt: skip
def test_no_other_file(served: tuple[Server, Plan, Path], path: str) -> None:
    assert get(served[0], path)[0] == 404


def test_only_who_knows_the_word_by_our_own_name(served: tuple[Server, Plan, Path]) -> None:
    server, _, _ = served
    port = server.server_address[1]
    assert get(server, "/", word="guess")[0] == 404
    assert get(server, "/", word="%C3%A4")[0] == 404
    for host in (f"localhost:{port}", f"[::1]:{port}"):
        assert get(server, "/", host)[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}.evil"):
        assert get(server, "/", host)[0] == 421
    assert get(server, "/", method="HEAD")[:2] == (200, "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(server, "/", method=method)[0] == 501
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use(served: tuple[Server, Plan, Path], tmp_path: Path) -> None:
    server, plan, folder = served
    port = int(server.server_address[1])
    with (
        pytest.raises(EnvironmentUnready, match="E071"),
        listening(plan, Store(tmp_path), folder, "s.yaml", "127.0.0.1", port),
    ):
        pass


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
@pytest.mark.parametrize("path", ["", "report/report.html", "stages?state=failed"])
def test_a_browser_shows_it(served: tuple[Server, Plan, Path], tmp_path: Path, path: str) -> None:
    server, _, _ = served
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=8000",
        f"--user-data-dir={tmp_path}", "--dump-dom", server.address + path,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    shown = {"": "21 of 161", "report/report.html": "the report"}.get(path, "1 stages")
    assert shown in done.stdout
    assert "<title>owned" not in done.stdout
    if path != "report/report.html":  # whose script is hostile, and refused aloud
        assert "CONSOLE" not in done.stderr
