"""What came from elsewhere is marked, no secret is written, and nothing that is read runs."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path

import pytest
import torch
from e2e.test_study import plan_of, work
from safetensors.torch import load_file, save_file
from tiny import write_study
from typer.testing import CliRunner

from compiler.pilot import pilots
from compiler.plan import Plan
from compiler.render import render, write
from runtime.cli import app
from runtime.model import read_backbone
from runtime.store import Store, status

ROOT = Path(__file__).parents[2]
SECRETS = {
    name: f"hf_secret{number}QpvLwXyZ"
    for number, name in enumerate(
        ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD",
         "AWS_SECRET_ACCESS_KEY")
    )
}  # fmt: skip

TOKEN = "hf_secretTpvLwXyZ"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Store]:
    """A study run and reported while the environment was full of secrets; one stage fails."""
    folder = tmp_path_factory.mktemp("trust")
    study = write_study(
        folder, layers=(1,), seeds=[1], targets=["colours", "tags"], languages=["en", "de"]
    )
    (folder / "own" / "data" / "tags.test.de.jsonl").write_text('{"tokens": "\x1b[31mred"}\n')
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        patch.setenv("HF_TOKEN_PATH", str(folder / "token"))  # where the hub's library keeps one
        (folder / "token").write_text(f"{TOKEN}\n")
        plan = plan_of(study)
        store = Store(folder / "build" / "store")
        assert work(plan, store) == 3
        trial = pilots(plan)
        assert work(trial, store) == 3
        write(render(trial), folder / "build" / trial.name)
        for verb in ("compile", "report"):
            done = CliRunner().invoke(app, [verb, str(study), "--build", str(folder / "build")])
            assert done.exit_code == 0, done.output
    return study, plan, store


def test_no_secret_is_written(
    finished: tuple[Path, Plan, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, plan, store = finished
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    build = store.root.parent
    failed = next(key for key in plan.stages if store.failure(key) is not None)
    at = ["--build", str(build)]
    for words in (["status"], ["status", "--json"], ["why", failed], ["plan"], ["explain", failed]):
        done = CliRunner().invoke(app, [words[0], str(study), *words[1:], *at])
        assert done.stdout, done.output
        (build / f"said-{'-'.join(words)}.txt").write_text(done.output)
    files = [path for path in build.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"plan.json", "env.sh", "submit.sh", "report.html", "record.json"} <= names
    assert {"failure.json", f"said-why-{failed}.txt"} <= names
    assert {".sh", ".sbatch", ".yaml"} <= {path.suffix for path in files}
    assert {path.parent.parent.name for path in build.glob("*/launch/*.sh")} > {plan.name}
    assert [record for record in build.rglob("record.json") if "pilot" in record.read_text()]
    for path in files:
        content = path.read_bytes()
        secrets = {**SECRETS, "the hub's token": TOKEN}
        found = [name for name, value in secrets.items() if value.encode() in content]
        assert not found, f"{path} holds {found}"


def test_what_data_says_does_not_reach_the_terminal_as_commands(
    finished: tuple[Path, Plan, Store],
) -> None:
    _, plan, store = finished
    failures = [store.failure(key) for key in plan.stages]
    texts = [failure.message + failure.trace for failure in failures if failure is not None]
    assert texts
    assert not [text for text in texts if "\x1b" in text]


def scoring(plan: Plan, target: str) -> tuple[str, str]:
    """Return the key of a direct fine-tuning on a target, and of its scoring."""
    run = next(r for r in plan.runs if r.target == target and r.arm == "none")
    assert run.train is not None
    return run.train, run.score


def adopt(study: Path, store: Path, *words: str) -> tuple[int, str]:
    at = ["--note", "by hand, 2026", "--build", str(study.parent / "b"), "--store", str(store)]
    done = CliRunner().invoke(app, ["store", "adopt", str(study), *words, *at])
    return done.exit_code, done.output


def test_a_checkpoint_and_scores_are_adopted_and_marked(
    finished: tuple[Path, Plan, Store], tmp_path: Path
) -> None:
    study, plan, kept = finished
    train, score = scoring(plan, "colours")
    folder = tmp_path / "made-elsewhere"
    folder.mkdir()
    weights = load_file(kept.verified(train) / "weights.safetensors")
    save_file(weights, folder / "model.safetensors")
    store = Store(tmp_path / "store")
    code, said = adopt(study, store.root, train, str(folder))
    assert code == 0, said
    record = store.record(train)
    assert record is not None
    mark = record.provenance["adopted"]
    assert (mark["source"], mark["note"]) == ("made-elsewhere", "by hand, 2026")
    assert len(mark["sha256"]) == 64
    assert work(plan, store) == 3
    one, other = store.record(score, "de"), kept.record(score, "de")
    part = plan.part_of(score, "de")
    one, other = store.record(score, part), kept.record(score, part)
    assert one is not None
    assert other is not None
    assert one.result == other.result, "the adopted weights give the scores that they gave there"

    _, broken = scoring(plan, "tags")
    given = tmp_path / "scores.json"
    given.write_text(json.dumps({"de": {"value": 61.5, "n": 24}, "en": 99}))
    code, said = adopt(study, store.root, broken, str(given))
    assert code == 0, said
    assert ": there already" in said
    found = store.record(broken, plan.part_of(broken, "de"))
    assert found is not None
    assert found.result == {
        "metric": "span_f1", "value": 61.5, "n": 24, "scores": {"span_f1": 61.5},
    }  # fmt: skip
    words = ["--build", str(tmp_path / "b"), "--store", str(store.root)]
    done = CliRunner().invoke(app, ["report", str(study), *words])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "b" / "tiny" / "report" / "report.json").read_text())
    adopted = report["provenance"]["adopted, not run here"]
    assert {key.split("/")[0] for key in adopted} == {train, broken}
    assert "by hand, 2026" in (tmp_path / "b" / "tiny" / "report" / "report.html").read_text()
    rows = json.loads(CliRunner().invoke(app, ["store", "ls", "--format", "json", *words]).stdout)
    assert {row["stage"] for row in rows if row["adopted"]} == {train, broken}


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_what_does_not_fit_is_not_adopted(
    finished: tuple[Path, Plan, Store], tmp_path: Path
) -> None:
    study, plan, kept = finished
    train, score = scoring(plan, "colours")
    weights = load_file(kept.verified(train) / "weights.safetensors")
    store = Store(tmp_path / "store")
    first = next(name for name in weights if name.startswith("backbone."))
    bad = {
        "lacks": {k: v for k, v in weights.items() if k != first},
        "has what the model does not know": weights | {"evil": torch.zeros(1)},
        "has another shape of": weights | {first: torch.zeros(3)},
    }
    for words, tensors in bad.items():
        folder = tmp_path / words.replace(" ", "_")
        folder.mkdir()
        save_file(tensors, folder / "model.safetensors")
        code, said = adopt(study, store.root, train, str(folder))
        assert code == 2
        assert words in said
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    code, said = adopt(study, store.root, train, str(evil))
    assert code == 2
    assert "a pickle, which is never read" in said
    (evil / "model.safetensors").write_bytes(pickle.dumps(Evil()))
    code, said = adopt(study, store.root, train, str(evil))
    assert code == 2
    assert "cannot be read" in said
    for text in ("[]", "{}", '{"de": 101}', '{"de": NaN}', '{"de": "1"}', '{"xx": 1}',
                 '{"de": {"value": 1, "n": -1}}', '{"de": true}', "[" * 99_999):  # fmt: skip
        given = tmp_path / "scores.json"
        given.write_text(text)
        code, said = adopt(study, store.root, score, str(given))
        assert code == 2, text
        assert "R011" in said
    prepared = next(key for key, stage in plan.stages.items() if stage.kind == "prepare")
    assert "cannot be adopted" in adopt(study, store.root, prepared, str(evil))[1]
    assert set(status(store, plan).values()) == {"waiting"}
    assert not list((store.root / "leases").iterdir())


def test_a_pickled_checkpoint_is_never_read(
    finished: tuple[Path, Plan, Store], tmp_path: Path
) -> None:
    model = dict(next(iter(finished[1].models.values())))
    folder = Path(model["checkpoint"]["folder"])
    for path in folder.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(OSError, match="safetensors"):
        read_backbone(model | {"checkpoint": {**model["checkpoint"], "folder": str(tmp_path)}})


LOADERS = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}


@pytest.mark.parametrize("package", ["compiler", "runtime"])
def test_nothing_in_the_code_runs_what_it_reads(package: str) -> None:
    """No unpickling, no eval, no shell; weights of Transformers only as safetensors."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                assert not {x.name.split(".")[0] for x in node.names} & LOADERS, where
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in LOADERS, where
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert name not in ("eval", "exec", "os.system", "os.popen", "__import__"), where
                assert name not in ("yaml.load", "yaml.unsafe_load", "pl.DataFrame.deserialize")
                assert given.get("shell", "False") == "False", where
                assert given.get("allow_pickle", "False") == "False", where
                assert given.get("trust_remote_code", "False") == "False", where
                if name == "torch.load":
                    assert given.get("weights_only") == "True", where
