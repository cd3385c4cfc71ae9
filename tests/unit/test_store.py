"""The store when something is wrong with it: damage, races and a disk that refuses."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.errors import EnvironmentUnready, StoreDamaged
from compiler.plan import Stage
from compiler.render import host
from runtime import lease as leases
from runtime.records import Failure, Record
from runtime.store import Store, sweep

KEY = "train-a"
STAGE = Stage(KEY, "train", "m", "t", {}, {})
RECORD = Record(KEY, "all", "train", "t0", "t1", 1.0, {"value": 1.0})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.prepare()
    return made


def finish(store: Store, content: bytes = b"weights") -> Path:
    """Leave a finished part, and return its folder."""
    with store.writing(KEY, "all") as folder:
        (folder / "weights").write_bytes(content)
        store.commit(RECORD, folder)
    return store.folder(KEY)


def test_a_finished_part_is_not_missing(store: Store) -> None:
    folder = finish(store)
    assert store.missing(STAGE) == ()
    assert store.verified(KEY) == folder
    assert store.set_aside(KEY, "all") is None
    assert not list((store.root / "tmp").iterdir())


def cut_short(folder: Path) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:40])


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def into_a_folder(folder: Path) -> None:
    (folder / "record.json").unlink()
    (folder / "record.json").mkdir()


def into_a_file(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.write_bytes(b"")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut short": cut_short,
    "empty": lambda folder: (folder / "record.json").write_bytes(b""),
    "not text": lambda folder: (folder / "record.json").write_bytes(b"\xff\xfe\x00"),
    "a folder": into_a_folder,
    "of another stage": lambda folder: rewrite(folder, stage="train-b"),
    "of another type": lambda folder: rewrite(folder, result=[1]),
    "without a checksum": lambda folder: rewrite(folder, outputs={"weights": {"bytes": 7}}),
    "output gone": lambda folder: (folder / "weights").unlink(),
    "output cut short": lambda folder: (folder / "weights").write_bytes(b"weig"),
    "a file": into_a_file,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_part_is_made_anew(store: Store, damage: Callable[[Path], object]) -> None:
    folder = finish(store)
    assert store.record(KEY) is not None, "it must be noticed in a process that has read it"
    damage(folder)
    assert store.record(KEY) is None
    assert store.missing(STAGE) == ("all",)
    finish(store)
    assert store.missing(STAGE) == ()
    assert len(list((store.root / "damaged" / KEY).iterdir())) == 1


def test_weights_that_have_changed_are_not_used(store: Store) -> None:
    folder = finish(store)
    (folder / "weights").write_bytes(b"wEights")
    assert store.missing(STAGE) == (), "the size is the same"
    with pytest.raises(StoreDamaged, match="weights has changed"):
        store.verified(KEY)
    assert store.missing(STAGE) == ("all",)
    with pytest.raises(StoreDamaged, match="not finished"):
        store.verified(KEY)


def test_what_may_not_be_read_is_said(store: Store) -> None:
    path = store.folder(KEY).parent
    path.symlink_to(path)  # which root may not read either
    for look in (lambda: store.missing(STAGE), lambda: store.failure(KEY)):
        with pytest.raises(EnvironmentUnready, match="E004"):
            look()


@pytest.mark.parametrize("text", ["", "{", "[]", "\udcff"], ids=ascii)
def test_a_damaged_failure_is_still_one(store: Store, text: str) -> None:
    store.fail(Failure(KEY, "oom", "m", "t"))
    path = store.folder(KEY).parent / "failure.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    failure = store.failure(KEY)
    assert failure is not None
    assert (failure.stage, failure.failure_class) == (KEY, "code")
    assert "cannot be read" in failure.message
    assert "delete" not in failure.message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_refused_move_is_not_taken_for_a_leftover(
    store: Store, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(store)

    def refuse(path: Path, target: Path) -> Path:
        raise OSError(number, os.strerror(number), str(path))

    with store.writing(KEY, "all") as folder, monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            store.commit(RECORD, folder)
    assert store.missing(STAGE) == ()


def test_the_first_record_stays(store: Store) -> None:
    folder = finish(store)
    before = (folder / "record.json").stat().st_mtime_ns
    finish(store, b"others")
    assert (folder / "record.json").stat().st_mtime_ns == before
    assert (folder / "weights").read_bytes() == b"weights"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_outputs_reach_the_disk_before_the_record(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink())
    )
    folder = finish(store)
    assert synced[0].name == "weights"
    assert synced[-1] == folder.parent.resolve()


def dead_lease(store: Store) -> Path:
    path = store.root / "leases" / f"{KEY}.json"
    path.write_text(json.dumps({"host": host(), "pid": 2**22 + 1, "born": "1"}))
    return path


def test_a_lease_of_the_dead_is_taken_over_once(store: Store) -> None:
    dead_lease(store)
    lease = store.lease(KEY)
    assert lease is not None
    assert store.lease(KEY) is None
    lease.release()
    assert not list((store.root / "leases").iterdir())


def test_a_takeover_in_between_is_not_undone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sees a dead lease; before it can remove it another process has taken it over."""
    path, real = dead_lease(store), leases.abandoned
    others: list[leases.Lease | None] = []

    def late(looked_at: Path) -> bool:
        seen = real(looked_at)
        if not others:
            others.append(None)
            others[0] = store.lease(KEY)
        return seen

    monkeypatch.setattr(leases, "abandoned", late)
    assert store.lease(KEY) is None
    assert others[0] is not None
    assert store.running()[KEY]["pid"] == os.getpid()
    assert [holder.place for holder in leases.holders(path)] == [path, others[0].place]
    others[0].release()
    assert not list((store.root / "leases").iterdir())


def test_two_threads_may_touch_a_lease(store: Store) -> None:
    lease = store.lease(KEY)
    assert lease is not None
    written: list[str] = []

    def often() -> None:
        for number in range(60):
            lease.progress = {"step": number}
            lease.touch()
            try:
                written.append(json.loads(lease.path.read_text())["host"])
            except ValueError as error:
                written.append(str(error))

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(written) == {host()}
    lease.release()
    assert not list((store.root / "leases").iterdir())


def test_what_the_dead_left_is_swept_and_what_the_living_have_is_not(store: Store) -> None:
    """A kill may come while a heartbeat is written, or between a record and its lease's return."""
    gone, here, there = 2**22 + 1, os.getpid(), "another-machine"
    ours = store.lease("train-ours-12345678")
    assert ours is not None
    dead_lease(store)
    left = []
    for owner, pid, stays in ((host(), gone, False), (host(), here, True), (there, gone, True)):
        folder = store.root / "tmp" / f"{KEY}.all.{owner}.{pid}.1"
        folder.mkdir()
        (folder / "weights").write_text("half")
        for path in (
            store.root / "tmp" / f".probe.{owner}.{pid}.tmp",
            store.root / "leases" / f".{KEY}.json.{owner}.{pid}.tmp",
            store.root / "leases" / f".{KEY}.json.1.{owner}.{pid}.stale",
        ):
            path.write_text("half")
            left += [path] if stays else []
        left += [folder] if stays else []
    sweep(store)
    found = {*(store.root / "tmp").iterdir(), *(store.root / "leases").iterdir()}
    assert found == {*left, ours.path}
    ours.release()


def test_a_stage_without_a_folder_is_not_present(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert store.present() == set()
    store.prepare()
    (store.root / "stages" / "train-a").mkdir()
    assert store.present() == {"train-a"}
