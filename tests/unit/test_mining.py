"""Mining in tiles finds what the double loop of the literature finds, within bounded memory."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.invalid import DataInvalid
from runtime.mining import (
    Writer,
    aligned,
    deduplicate,
    expand,
    load,
    margins,
    match,
    mine,
    nearest,
    neighbours,
    top_ids,
)

Array = NDArray[Any]
Ranked = list[list[tuple[float, int]]]

WIDTH = 16


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Products as small as these are done before a second thread has woken up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@st.composite
def exact(draw: st.DrawFn, most: int) -> Array:
    """Vectors whose length and products float32 holds exactly, many of them alike.

    Four entries of one power of two, with signs: whatever adds the products, and in which order,
    the sum is the same. So ties are ties, and results are compared with ``==``.
    """
    kinds = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = np.zeros((kinds, WIDTH), dtype=np.float16)
    for vector in pool:
        places = rng.choice(WIDTH // 2, 4, replace=False)
        vector[places] = rng.choice([-1, 1], 4, p=[0.2, 0.8]) * 2.0 ** rng.integers(-3, 4)
    return pool[rng.integers(0, kinds, draw(st.integers(1, most)))]


def cosines(source: Array, target: Array) -> Array:
    """One product at a time, in double precision."""
    unit = [side / np.linalg.norm(side, axis=1)[:, None] for side in
            (source.astype(np.float64), target.astype(np.float64))]  # fmt: skip
    found = np.empty((len(source), len(target)))
    for i, x in enumerate(unit[0]):
        for j, y in enumerate(unit[1]):
            found[i, j] = x @ y
    return found


def ranked(similar: Array, k: int) -> Ranked:
    """For each row the k best (similarity, column); of equal ones the lowest column first."""
    return [
        sorted(((float(v), j) for j, v in enumerate(row)), key=lambda p: (-p[0], p[1]))[:k]
        for row in similar
    ]


def mean(ranks: list[tuple[float, int]]) -> float:
    return sum(value for value, _ in ranks) / len(ranks)


def margin(kind: str, pair: float, one: float, other: float) -> float:
    usual = (one + other) / 2
    if kind == "ratio":
        return pair / usual if usual else 0.0
    return pair - usual if kind == "distance" else pair


def double_loop(
    similar: Array, k: int, kind: str, floor: float | None
) -> tuple[list[list[float]], list[list[float]], list[tuple[int, int, float]]]:
    """The mining of the literature, with a stated order of ties: margins both ways, then pairs."""
    forward, backward = ranked(similar, k), ranked(similar.T, k)
    around = [[mean(ranks) for ranks in side] for side in (forward, backward)]
    scores: tuple[list[list[float]], list[list[float]]] = ([], [])
    candidates = set()
    for i, ranks in enumerate(forward):
        row = [margin(kind, v, around[0][i], around[1][j]) for v, j in ranks]
        scores[0].append(row)
        candidates.add((-max(row), i, ranks[row.index(max(row))][1]))
    for j, ranks in enumerate(backward):
        row = [margin(kind, v, around[0][i], around[1][j]) for v, i in ranks]
        scores[1].append(row)
        candidates.add((-max(row), ranks[row.index(max(row))][1], j))
    seen: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for score, i, j in sorted(candidates):
        if i not in seen[0] and j not in seen[1] and (floor is None or -score > floor):
            seen[0].add(i)
            seen[1].add(j)
            pairs.append((i, j, -score))
    return *scores, pairs


KINDS = st.sampled_from(["ratio", "distance", "absolute"])


@given(
    source=exact(140),
    target=exact(140),
    k=st.sampled_from([1, 2, 4, 7, 200]),
    block=st.sampled_from([1, 64, 100, 2048]),
    kind=KINDS,
    floor=st.sampled_from([None, 0.0, 1.0]),
)
@settings(max_examples=50, deadline=None)
def test_it_equals_the_double_loop(
    source: Array, target: Array, k: int, block: int, kind: Any, floor: float | None
) -> None:
    found = neighbours(source, target, k, block=block)
    similar = cosines(source, target)
    for side, table in ((found.forward, similar), (found.backward, similar.T)):
        expected = ranked(table, k)
        assert side.rows.tolist() == [[row for _, row in ranks] for ranks in expected]
        assert side.similarities.tolist() == [[v for v, _ in ranks] for ranks in expected]
    forward, backward, pairs = double_loop(similar, k, kind, floor)
    mined = mine(found, kind, floor)
    assert [side.tolist() for side in margins(found, kind)] == [forward, backward]
    assert list(zip(mined.source, mined.target, mined.score, strict=True)) == pairs


@pytest.mark.parametrize("rows", [(300, 211), (1, 300), (300, 1), (1, 1), (65, 64)])
@pytest.mark.parametrize("block", [64, 130, 2048])
@pytest.mark.parametrize("kind", ["ratio", "distance", "absolute"])
def test_it_equals_the_double_loop_on_gaussian_vectors(
    rows: tuple[int, int], block: int, kind: Any
) -> None:
    rng = np.random.default_rng(sum(rows))
    base = rng.normal(size=(300, 24)) + 1.0
    source, target = ((base[:n] + rng.normal(size=(n, 24)) / 2).astype(np.float32) for n in rows)
    found = neighbours(source, target, 4, block=block)
    forward, backward, pairs = double_loop(cosines(source, target), 4, kind, None)
    for side, expected in zip(margins(found, kind), (forward, backward), strict=True):
        assert side == pytest.approx(np.array(expected), abs=1e-5)
    mined = mine(found, kind)
    assert list(zip(mined.source, mined.target, strict=True)) == [(i, j) for i, j, _ in pairs]
    assert mined.score == pytest.approx([score for *_, score in pairs], abs=1e-5)


def test_tiles_change_nothing_where_there_are_many() -> None:
    """The best of many rows fill up over tiles, so that later ones are mostly skipped."""
    rng = np.random.default_rng(5)
    source, target = rng.normal(size=(1500, 8)), rng.normal(size=(1200, 8))
    exactly = [s / np.linalg.norm(s, axis=1)[:, None] for s in (source, target)]
    similar = exactly[0] @ exactly[1].T
    for k, block in ((4, 192), (40, 640), (300, 448)):
        found = neighbours(source, target, k, block=block)
        for side, table in ((found.forward, similar), (found.backward, similar.T)):
            best = -np.sort(-table, axis=1)[:, :k]
            assert np.abs(side.similarities - best).max() < 1e-6
            chosen = np.take_along_axis(table, side.rows, axis=1)
            assert np.abs(chosen - best).max() < 1e-6
            assert all(len(set(row)) == k for row in side.rows[:50].tolist())


def test_equal_vectors_tie_wherever_they_stand() -> None:
    """Float sums depend on the shape of a product: rows in a last, smaller tile must not differ."""
    rng = np.random.default_rng(1)
    target = np.tile(rng.normal(size=(10, 1024)), (21, 1))
    found = nearest(rng.normal(size=(70, 1024)), target, 21, block=64)
    first = found.rows[:, :1]
    assert (first < 10).all()
    assert (found.rows == first + 10 * np.arange(21)).all()
    assert (found.similarities == found.similarities[:, :1]).all()


def test_both_sides_give_a_pair_the_same_similarity() -> None:
    rng = np.random.default_rng(2)
    found = neighbours(rng.normal(size=(100, 33)), rng.normal(size=(70, 33)), 70, block=64)
    forward, backward = (
        {(*pair,): v for pair, v in zip(pairs, side.similarities.ravel().tolist(), strict=True)}
        for side, pairs in (
            (found.forward, zip(np.arange(100).repeat(70).tolist(),
                                found.forward.rows.ravel().tolist(), strict=True)),
            (found.backward, zip(found.backward.rows.ravel().tolist(),
                                 np.arange(70).repeat(70).tolist(), strict=True)),
        )
    )  # fmt: skip
    assert backward
    assert all(forward[pair] == value for pair, value in backward.items())


def test_tensors_arrays_and_files_give_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    source, target = (rng.normal(size=(n, 20)).astype(np.float16) for n in (90, 130))
    expected = neighbours(source, target)
    np.save(tmp_path / "source.npy", source)
    mapped = np.load(tmp_path / "source.npy", mmap_mode="r")
    for given_source in (torch.from_numpy(source), source.astype(np.float64), mapped):
        found = neighbours(given_source, torch.from_numpy(target).float())
        for one, other in ((found.forward, expected.forward), (found.backward, expected.backward)):
            assert (one.rows == other.rows).all()
            assert (one.similarities == other.similarities).all()


def test_top_ids_ranks_a_pool() -> None:
    pool = np.array([[1, 0], [0, 2], [3, 3], [-1, 0], [0, 1]], dtype=np.float32)
    queries = np.array([[0, 5], [1, 0]], dtype=np.float32)
    assert top_ids(queries, pool, 3).tolist() == [[1, 4, 2], [0, 2, 1]]
    assert top_ids(queries, pool, 9).tolist() == [[1, 4, 2, 0, 3], [0, 2, 1, 4, 3]]


def test_a_side_without_rows() -> None:
    empty, some = np.empty((0, 3), np.float32), np.ones((2, 3), np.float32)
    found = neighbours(empty, some)
    assert found.forward.rows.shape == (0, 2)
    assert found.backward.rows.shape == (2, 0)
    assert len(mine(found).score) == len(mine(neighbours(some, empty)).score) == 0
    assert top_ids(empty, some, 1).shape == (0, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_vectors_that_are_not_finite_are_refused(bad: float) -> None:
    vectors = np.ones((200, 3), np.float32)
    vectors[130, 1] = bad
    with pytest.raises(DataInvalid, match="row 130 has no finite length"):
        neighbours(vectors, np.ones((1, 3), np.float32), block=64)


def test_what_cannot_be_compared_is_refused() -> None:
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="one width"):
        neighbours(ones, ones[:, :2])
    with pytest.raises(ValueError, match="one width"):
        neighbours(ones, ones[0])
    with pytest.raises(ValueError, match="at least 1"):
        neighbours(ones, ones, 0)
    with pytest.raises(ValueError, match="at least 1"):
        neighbours(ones, ones, block=0)


def test_a_ratio_to_nothing_is_zero() -> None:
    """Opposite neighbours cancel, and a row of zeros is like nothing."""
    found = neighbours(np.eye(2, 3), np.zeros((1, 3)))
    assert found.forward.similarities.tolist() == [[0.0], [0.0]]
    assert margins(found)[0].tolist() == [[0.0], [0.0]]
    assert len(mine(found, "ratio", floor=0.0).score) == 0


def test_equal_scores_are_matched_by_row() -> None:
    source, target = np.array([1, 0, 2, 0, 1]), np.array([0, 1, 2, 0, 1])
    pairs = match(source, target, np.array([1.0, 1.0, 2.0, 1.0, 1.0]))
    assert list(zip(pairs.source, pairs.target, strict=True)) == [(2, 2), (0, 0), (1, 1)]
    above = match(source, target, np.array([1.0, 1.0, 2.0, 1.0, 1.0]), floor=1.0)
    assert list(zip(above.source, above.target, above.score, strict=True)) == [(2, 2, 2.0)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 4))))
@example([])
@settings(max_examples=100, deadline=None)
def test_matching_takes_the_best_that_is_free(triples: list[tuple[int, int, int]]) -> None:
    columns = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    pairs = match(columns[0], columns[1], columns[2].astype(np.float64))
    left, expected = sorted(triples, key=lambda t: (-t[2], t[0], t[1])), []
    while left:
        expected.append(left[0])
        left = [t for t in left if t[0] != left[0][0] and t[1] != left[0][1]]
    assert list(zip(pairs.source, pairs.target, pairs.score, strict=True)) == expected


def test_copies_are_embedded_once_and_found_again() -> None:
    texts = ["ja", "nein", "ja", "doch"]
    distinct, places = deduplicate(texts)
    assert distinct == ["ja", "nein", "doch"]
    assert places == [0, 1, 0, 2]
    pairs = match(np.array([1, 0]), np.array([0, 1]), np.array([0.5, 0.75]))
    english = deduplicate(["no", "yes", "yes", "no", "no"])
    assert expand(
        pairs, (["a", "b", "c", "d"], places), (["1", "2", "3", "4", "5"], english[1])
    ) == {
        ("a", "2"): 0.75, ("a", "3"): 0.75, ("c", "2"): 0.75, ("c", "3"): 0.75,
        ("b", "1"): 0.5, ("b", "4"): 0.5, ("b", "5"): 0.5,
    }  # fmt: skip


def test_aligned_scores_by_hand() -> None:
    """Foreign row 0 is near to both English rows; a margin takes that from it."""

    def at(*degrees: float) -> Array:
        return np.array([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])

    foreign, english = at(20, 60), at(0, 36)
    # Cosines, foreign by English: cos 20, cos 16; cos 60, cos 24. English row 1 is nearer to
    # foreign 0 (16 degrees) than to its partner (24); divided by means around each, it is not.
    scores = aligned(foreign, english, k=2)
    assert scores["top1"] == 50.0
    assert scores["top1_reverse"] == 50.0
    assert scores["top1_both"] == 50.0
    assert scores["top1_margin"] == scores["top1_reverse_margin"] == 100.0
    assert scores["top1_both_margin"] == scores["top1_both_distance"] == 100.0
    assert next(iter(scores)) == "top1"


@pytest.mark.parametrize("k", [1, 4, 50])
def test_aligned_scores_equal_a_search_through_all(k: int) -> None:
    rng = np.random.default_rng(9)
    english = rng.normal(size=(40, 6)) + 0.5
    foreign = english + rng.normal(size=(40, 6))
    similar = cosines(foreign, english)
    forward, backward = ranked(similar, k), ranked(similar.T, k)
    around = [[mean(ranks) for ranks in side] for side in (forward, backward)]
    scores = aligned(foreign, english, k)
    for name, kind in (("", "absolute"), ("_margin", "ratio"), ("_distance", "distance")):
        one = sum(
            max(r, key=lambda p: margin(kind, p[0], around[0][p[1]], around[1][j]))[1] == j
            for j, r in enumerate(backward)
        )
        other = sum(
            max(r, key=lambda p: margin(kind, p[0], around[0][i], around[1][p[1]]))[1] == i
            for i, r in enumerate(forward)
        )
        assert scores[f"top1{name}"] == pytest.approx(100 * one / 40)
        assert scores[f"top1_reverse{name}"] == pytest.approx(100 * other / 40)
        assert scores[f"top1_both{name}"] == pytest.approx(50 * (one + other) / 40)
    with pytest.raises(ValueError, match="no aligned pairs"):
        aligned(foreign, english[:39])
    with pytest.raises(ValueError, match="no aligned pairs"):
        aligned(foreign[:0], english[:0])


def test_a_file_holds_unit_rows_in_the_order_of_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(50, 7)) * 1e6  # beyond half precision before it is scaled
    path = tmp_path / "layer.npy"
    order = rng.permutation(50)
    with Writer(path, rows=50, width=7) as file:
        for start in range(0, 50, 8):
            rows = order[start : start + 8]
            file.put(rows.tolist(), torch.from_numpy(vectors[rows]))
        assert not path.exists()
    found = load(path)
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float16
    expected = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    assert np.abs(found - expected).max() < 2**-11
    assert [p.name for p in tmp_path.iterdir()] == ["layer.npy"]


def test_a_file_that_is_not_complete_is_not_left(tmp_path: Path) -> None:
    def write(rows: list[int], vectors: Array) -> None:
        with Writer(tmp_path / "x.npy", rows=3, width=2) as file:
            file.put(rows, vectors)

    with pytest.raises(ValueError, match="row 1 was not written"):
        write([0, 2], np.ones((2, 2)))
    with pytest.raises(DataInvalid, match="no finite length"):
        write([0, 1, 2], np.full((3, 2), np.nan))
    with pytest.raises(IndexError):
        write([7], np.ones((1, 2)))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the reservation a page that cannot be written kills the process with SIGBUS."""
    asked = []

    def full(_file: int, start: int, size: int) -> None:
        asked.append((start, size))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Writer(tmp_path / "x.npy", rows=1000, width=8)
    assert asked[0][0] == 0
    assert asked[0][1] > 16_000
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((2, 2)))
    (tmp_path / "text.npy").write_text("no", encoding="utf-8")
    with pytest.raises(DataInvalid, match="no embeddings in half precision"):
        load(tmp_path / "wide.npy")
    for name in ("text.npy", "none.npy"):
        with pytest.raises(DataInvalid, match="cannot be read"):
            load(tmp_path / name)


STREAM = """
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from runtime.mining import Writer, load, mine, neighbours
from runtime.mining.embeddings import unit_rows

rows, columns, width, folder = *map(int, sys.argv[1:4]), Path(sys.argv[4])


def held():
    status = Path("/proc/self/status").read_text()
    return next(int(l.split()[1]) for l in status.splitlines() if l.startswith("VmData")) * 1024


def refused(action):
    try:
        action()
    except (MemoryError, RuntimeError) as error:
        return "allocate" in str(error)
    return False


draw = torch.Generator().manual_seed(0)
meaning = torch.Generator().manual_seed(1)
small = torch.randn(4096, width, generator=draw)
neighbours(small, small)  # what torch and its threads take for themselves, they take here
before = held()
resource.setrlimit(resource.RLIMIT_DATA, (before + int(sys.argv[5]) * 2**20,) * 2)
files = [Writer(folder / f"{name}.npy", n, width) for name, n in (("x", rows), ("y", columns))]
for start in range(0, rows, 10_000):
    chunk = torch.randn(10_000, width, generator=meaning)
    for file in files[: 1 + (start < columns)]:
        noise = torch.randn(10_000, width, generator=draw)
        file.put(range(start, start + 10_000), chunk + 0.3 * noise)
for file in files:
    file.close()
x, y = (load(file.path) for file in files)
found = neighbours(x, y)
pairs = mine(found)
right = int((pairs.source == pairs.target).sum())
print(found.forward.rows.shape, found.backward.rows.shape, right)
print(refused(lambda: unit_rows(x, 0, rows, None)), refused(lambda: neighbours(x, y, block=20_000)))
"""


@pytest.mark.slow
def test_many_rows_stream_through_within_a_fixed_memory(tmp_path: Path) -> None:
    """One side alone takes more memory in float32 than the whole search, from file to pairs, may.

    All similarities are 64 GB. The limit is that of the system on private memory, on top of what
    the process has when torch is loaded; that it bites is tested under the same limit. 400,000
    rows on both sides are left to the benchmark: they are ten times as many similarities.
    """
    sizes = ["400000", "40000", "64"]
    done = subprocess.run(
        [sys.executable, "-c", STREAM, *sizes, str(tmp_path), "90"],
        capture_output=True,
        text=True,
        check=False,
        # Beside other tests on two cores, two threads wait for each other longer than they gain.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    shapes, bites = done.stdout.splitlines()
    assert shapes.startswith("(400000, 4) (40000, 4) ")
    assert int(shapes.rsplit(" ", 1)[1]) > 39_900
    assert bites == "True True"
