"""`stiltscale store`: it lists, verifies, frees, exports and imports, hostile archives too."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from compiler.errors import StoreDamaged
from compiler.plan import Plan, Stage
from runtime import audit, disposal, records, transfer
from runtime.cli import app
from runtime.records import Record
from runtime.store import Store

PARTS = {"train-a": ("all",), "evaluate-a": ("de", "en"), "train-b": ("all",)}


def finish(store: Store, key: str, part: str, content: bytes = b"weights") -> Path:
    """Leave a finished part, and return its folder."""
    store.prepare()
    kind = key.split("-")[0]
    with store.writing(key, part) as folder:
        (folder / "out.bin").write_bytes(content)
        store.commit(Record(key, part, kind, "t0", "t1", 1.0, {"value": 1.0}), folder)
    return store.folder(key, part)


def filled(root: Path) -> Store:
    store = Store(root)
    for key, names in PARTS.items():
        for part in names:
            finish(store, key, part, f"{key}/{part}".encode())
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path / "build" / "store")


def plan(*keys: str, name: str = "tiny") -> Plan:
    stages = {k: Stage(k, "train", "m", "t", {}, {}, PARTS[k]) for k in keys}
    return Plan({"name": name}, {}, {}, {}, {}, stages, (), ())


def compiled(store: Store, *keys: str, name: str = "tiny") -> Path:
    path = store.root.parent / name / "plan.json"
    path.parent.mkdir()
    path.write_text(plan(*keys, name=name).to_json(), encoding="utf-8")
    return path


def say(store: Store, *words: str) -> Result:
    at = ["--build", str(store.root.parent)]
    return CliRunner().invoke(app, ["store", words[0], *at, *words[1:]])


def there(store: Store) -> set[str]:
    return {f"{p.key}/{p.part}" for p in audit.parts(store) if p.record is not None}


def test_ls_says_what_is_there(store: Store) -> None:
    done = say(store, "ls", "--format", "json")
    rows = {row["stage"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == PARTS.keys()
    assert rows["evaluate-a"] == {
        "stage": "evaluate-a", "parts": 2, "damaged": 0, "bytes": 2 * len(b"evaluate-a/de"),
        "finished": "t1", "adopted": False,
    }  # fmt: skip
    assert "evaluate-a" in say(store, "ls").stdout


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def link(folder: Path) -> None:
    outside = folder.parent.parent.parent / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)


def link_output(folder: Path) -> None:
    (folder / "out.bin").rename(folder.parent.parent.parent / "outside")
    (folder / "out.bin").symlink_to(folder.parent.parent.parent / "outside")


def link_record(folder: Path) -> None:
    (folder / "record.json").rename(folder.parent.parent.parent / "outside")
    (folder / "record.json").symlink_to(folder.parent.parent.parent / "outside")


HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit of a file": (lambda f: flip(f / "out.bin"), "out.bin has changed"),
    "bit of a record": (lambda f: flip(f / "record.json"), ""),
    "cut file": (lambda f: (f / "out.bin").write_bytes(b"x"), "1 bytes instead of 11"),
    "cut record": (lambda f: (f / "record.json").write_bytes(b"{"), "cannot be read"),
    "no record": (lambda f: (f / "record.json").unlink(), "no record"),
    "more": (lambda f: (f / "more").write_bytes(b""), "what no record names: more"),
    "linked part": (link, "a link"),
    "linked file": (link_output, "not a file"),
    "linked record": (link_record, "not a file"),
}


@pytest.mark.parametrize("how", HARM)
def test_verify_finds_damage_and_sets_it_aside(store: Store, how: str) -> None:
    assert say(store, "verify").exit_code == 0
    harm, words = HARM[how]
    harm(store.folder("train-a"))
    done = say(store, "verify")
    assert done.exit_code == 2
    assert "damaged: train-a/all: " in done.stdout
    assert words in done.stdout
    assert "R007" in done.stderr
    done = say(store, "verify", "--set-aside")
    assert done.exit_code == 0
    assert "set aside: " in done.stdout
    assert Store(store.root).missing(plan("train-a").stages["train-a"]) == ("all",)
    again = say(store, "verify")
    assert again.exit_code == 0
    assert "set aside earlier: " in again.stdout
    finish(Store(store.root), "train-a", "all")
    assert there(Store(store.root)) == {f"{k}/{p}" for k, names in PARTS.items() for p in names}


def test_every_bit_of_a_record_is_checked(store: Store) -> None:
    path = store.folder("train-a") / "record.json"
    content = path.read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        found = Store(store.root).record("train-a")
        assert found is None or found == store.record("train-a"), content[at - 9 : at + 9]
        if found is not None:  # a space for another
            assert json.loads(changed) == json.loads(content)


def test_gc_frees_only_what_no_known_study_needs(store: Store) -> None:
    assert say(store, "gc").exit_code == 2, "no study is known"
    compiled(store, "train-a")
    disposal.remember(store, plan("evaluate-a", name="other"), store.root.parent / "elsewhere")
    done = say(store, "gc")
    assert done.exit_code == 0, done.stderr
    assert "1 can be freed" in done.stdout
    assert "stages/train-b/all: no known study needs it" in done.stdout
    assert len(there(store)) == 4, "it only says"
    done = say(store, "gc", "--yes")
    assert "1 of 1 freed" in done.stdout
    assert there(store) == {"train-a/all", "evaluate-a/de", "evaluate-a/en"}
    assert not (store.root / "stages" / "train-b").exists()
    assert not list((store.root / "tmp").iterdir())


def test_gc_keeps_what_is_run_and_what_a_given_study_needs(store: Store) -> None:
    compiled(store, "train-a")
    lease = store.lease("train-b")
    assert lease is not None
    given = compiled(store, "evaluate-a", name="given").rename(store.root.parent / "given.json")
    assert "0 can be freed" in say(store, "gc", "--study", str(given)).stdout
    lease.release()
    assert "1 of 1 freed" in say(store, "gc", "--study", str(given), "--yes").stdout


def test_gc_leaves_what_begins_to_run_meanwhile(store: Store) -> None:
    found = disposal.waste(store, {})
    lease = store.lease("train-b")
    assert lease is not None
    assert disposal.free(store, found)[0] == 3
    assert there(store) == {"train-b/all"}
    lease.release()


def test_gc_frees_checkpoints_of_what_is_finished_and_damage(store: Store) -> None:
    compiled(store, *PARTS)
    for key in ("train-a", "train-z"):
        (store.root / "checkpoints" / key / "000000001").mkdir(parents=True)
    (store.folder("train-b") / "record.json").unlink()
    (store.root / "checkpoints" / "train-b").mkdir()
    assert say(store, "verify", "--set-aside").exit_code == 0
    said = say(store, "gc").stdout
    assert "checkpoints/train-a: its training is finished" in said
    assert "checkpoints/train-z: no known study" in said
    assert "set aside as damaged" in said
    assert say(store, "gc", "--yes").exit_code == 0
    left = [path.name for path in (store.root / "checkpoints").iterdir()]
    assert left == ["train-b"], "its training goes on from there"
    assert not audit.quarantined(store)


@pytest.mark.parametrize("text", ["{", "[]", '{"plan": "x"}', '{"plan": "x", "needs": [1]}'])
def test_gc_frees_nothing_when_a_study_cannot_be_read(store: Store, text: str) -> None:
    compiled(store, "train-a")
    (store.root / "studies").mkdir()
    (store.root / "studies" / "x.json").write_text(text)
    done = say(store, "gc", "--yes")
    assert done.exit_code == 2
    assert "R008" in done.stderr
    assert len(there(store)) == 4


def test_records_move_to_another_machine(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "records.tar"
    assert "4 parts written" in say(store, "export", str(target)).stdout
    other = Store(tmp_path / "there" / "store")
    assert "4 parts imported, 0 were there" in say(other, "import", str(target)).stdout
    assert there(other) == there(store)
    for part in audit.parts(other):
        assert audit.fault(part) == ""
        assert part.record == store.record(part.key, part.part)
    done = say(other, "import", str(target))
    assert "0 parts imported, 4 were there already" in done.stdout
    assert sorted(p.name for p in target.parent.iterdir()) == ["build", "records.tar", "there"]


def test_stages_and_studies_are_chosen_and_damage_is_left_out(store: Store, tmp_path: Path) -> None:
    target, given = tmp_path / "records.tar", compiled(store, "evaluate-a")
    flip(store.folder("evaluate-a", "de") / "out.bin")
    done = say(store, "export", str(target), "--study", str(given), "--stage", "train-b")
    assert "2 parts written" in done.stdout
    assert "left out, damaged: evaluate-a/de: out.bin has changed" in done.stdout
    other = Store(tmp_path / "there" / "store")
    transfer.bring(other, target)
    assert there(other) == {"evaluate-a/en", "train-b/all"}


def test_other_content_under_a_key_is_refused_whole(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "records.tar"
    transfer.export(store, None, target)
    other = Store(tmp_path / "there" / "store")
    finish(other, "train-a", "all", b"others")
    done = say(other, "import", str(target))
    assert done.exit_code == 2
    assert "R010: the store has other content for 1 of 4 parts: train-a/all" in done.stderr
    assert there(other) == {"train-a/all"}


def test_an_import_that_was_cut_short_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "records.tar"
    transfer.export(store, None, target)
    other = Store(tmp_path / "there" / "store")
    with monkeypatch.context() as patch:
        real, calls = Store.place, []

        def cut(self: Store, *words: Any) -> bool:
            calls.append(1)
            if len(calls) > 2:
                raise OSError(28, "No space left on device")
            return real(self, *words)

        patch.setattr(Store, "place", cut)
        with pytest.raises(OSError, match="No space"):
            transfer.bring(other, target)
    assert len(there(other)) == 2
    assert transfer.bring(other, target) == (2, 2)


def archive(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """Write what is in an archive once more, changed."""
    members = []
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member)
            assert stream is not None
            members.append((member, stream.read()))
    change(members)
    changed = path.with_name("changed.tar")
    with tarfile.open(changed, "w") as tar:
        for member, content in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return changed


def renamed(name: str) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].name = name

    return change


def typed(kind: bytes, target: str = "") -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].type = kind
        members[-1][0].linkname = target
        members[-1][0].size = 0

    return change


def content(number: int, text: bytes) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[number] = (members[number][0], text)

    return change


def evil_record(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """A record with a right checksum that names a file outside of its folder."""
    outputs = {"../../../../evil": {"bytes": 1, "sha256": "0" * 64}}
    record = Record("train-b", "all", "train", "t0", "t1", 1.0, {}, outputs)
    members[-2] = (members[-2][0], record.to_json().encode())
    members[-1][0].name = "stages/train-b/all/../../../../evil"


EVIL: dict[str, Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]] = {
    "up": renamed("stages/train-b/all/../../../../evil"),
    "up in a name": renamed("stages/../all/evil"),
    "absolute": renamed("/tmp/evil"),
    "another folder": renamed("leases/train-b.json"),
    "hidden": renamed("stages/train-b/all/.evil"),
    "unknown file": renamed("stages/train-b/all/evil"),
    "link": typed(tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": typed(tarfile.LNKTYPE, "/etc/passwd"),
    "device": typed(tarfile.CHRTYPE),
    "pipe": typed(tarfile.FIFOTYPE),
    "folder": typed(tarfile.DIRTYPE),
    "twice": lambda members: members.append(members[-1]),
    "missing": lambda members: members.pop() and None,  # type: ignore[func-returns-value]
    "nothing": lambda members: members.clear(),
    "other bytes": content(-1, b"train-b/ALL"),
    "no contents": lambda members: members.pop(0) and None,  # type: ignore[func-returns-value]
    "odd contents": content(0, b"[" * 99_999),
    "odd record": content(-2, b'{"schema": 1}'),
    "record of another": content(-2, Record("x", "y", "train", "", "", 1, {}).to_json().encode()),
    "evil record": evil_record,
}


@pytest.mark.parametrize("how", EVIL)
def test_a_hostile_archive_leaves_nothing(store: Store, tmp_path: Path, how: str) -> None:
    target = tmp_path / "records.tar"
    transfer.export(store, None, target)
    changed = archive(target, EVIL[how])
    other = Store(tmp_path / "there" / "store")
    done = say(other, "import", str(changed))
    assert done.exit_code == 2
    assert "R009" in done.stderr
    assert not [key for key in there(other) if key.startswith("train-b")]
    assert not list(tmp_path.rglob("*evil*"))
    assert not list((other.root / "tmp").iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.97])
def test_a_truncated_archive_is_refused(store: Store, tmp_path: Path, share: float) -> None:
    target = tmp_path / "records.tar"
    transfer.export(store, None, target)
    os.truncate(target, int(share * target.stat().st_size * 0.6))
    other = Store(tmp_path / "there" / "store")
    with pytest.raises(StoreDamaged, match="R009"):
        transfer.bring(other, target)
    assert not there(other)


def test_a_newer_store_is_left_alone(store: Store) -> None:
    path = store.root / "store.json"
    path.write_text('{"schema": "stiltscale/store/9"}')
    for verb in ("ls", "verify", "gc"):
        done = say(store, verb)
        assert done.exit_code == 2
        assert "R006" in done.stderr
    path.unlink()
    record = store.folder("train-a") / "record.json"
    body = json.loads(record.read_text()) | {"schema": "stiltscale/record/3", "novel": 1}
    del body["checksum"]
    record.write_text(json.dumps(body | {"checksum": records._checksum(body)}))
    done = say(store, "verify", "--set-aside")
    assert done.exit_code == 2
    assert "R006" in done.stderr
    assert record.exists()
