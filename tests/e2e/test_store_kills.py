"""Two hundred kills at random moments: nothing is lost, nothing is done twice, the same scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from e2e.test_study import plan_of, work
from tiny import write_study

from runtime.collect import collect
from runtime.store import Store, status

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        seeds=[1, 2, 3],
        targets=["colours", "pairs"],
        recipe={"name": "tiny", "defaults": {"steps": 4, "batch": 4}},
    )
    plan = plan_of(study)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    words = [
        str(tmp_path / "run" / "plan.json"),
        str(tmp_path / "stores"),
        "200",
        "1.2",
        "8",
        "480",
    ]
    done = subprocess.run(
        [sys.executable, str(TESTS / "killing.py"), *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"},
    )
    log = (tmp_path / "run" / "scheduler.log").read_text()
    assert done.returncode == 0, done.stderr + log
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert sum(found["kills"].values()) >= 200, found
    assert min(found["kills"].values()) >= 20, found
    assert found["lost"] == []
    assert found["code"] == 0, log
    everything = Counter(
        {f"{key}/{part}": 1 for key, stage in plan.stages.items() for part in stage.parts}
    )
    reference = Store(tmp_path / "reference")
    assert work(plan, reference) == 0
    expected = collect(plan, reference)
    for number in range(found["passes"]):
        store = Store(tmp_path / "stores" / str(number))
        assert set(status(store, plan).values()) == {"done"}
        lines = (tmp_path / "run" / f"journal-{number}.txt").read_text().splitlines()
        written = Counter(line.split()[0] for line in lines if line.endswith(" new"))
        # One killed between the move and its line in the journal leaves no line.
        assert not written - everything, "a part was recorded twice"
        assert not [line for line in lines if line.endswith(" second")], "a part was made twice"
        assert collect(plan, store).equals(expected)
        assert not list((store.root / "leases").iterdir())
        assert not (store.root / "damaged").exists()
