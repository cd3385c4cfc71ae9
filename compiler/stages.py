"""Makes the stages of a plan, each once: what is hashed into their keys is decided here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.architecture import special_tokens
from compiler.check import model_folder
from compiler.data import matching
from compiler.entries import Checkpoint, Corpus, Model, Task
from compiler.fingerprint import MODEL_FILES, TOKENIZER_FILES, file_sha256, folder_sha256
from compiler.identity import digest, slug, stage_key
from compiler.plan import Kind, Stage
from compiler.pretraining import Pretraining
from compiler.resolve import Course, Goal, Resolved
from compiler.scratch import languages_of
from compiler.training import Training

Protocol = Mapping[str, Mapping[str, Any]]

PREPARING: Protocol = {
    "multiple_choice": {"cut": "text_start"},
    "span_extraction": {"stride": 128, "question": 64},
    "token_classification": {"spacing": "running_text", "tag_at": "first_piece"},
}
"""What is decided for all tasks of a kind when their texts are tokenised, and is in no recipe.

The text before a choice is cut at its start. Windows of a paragraph share 128 tokens and questions
have at most 64, both as in the scripts for SQuAD. Words have the tokens that they have in running
text with a space between them. A word is tagged at its first piece, as in XTREME, and at its last
one in a model whose vectors are of the last token: it has not read the rest of the word before.
"""

SCORING: Protocol = {
    "span_extraction": {"answer_characters": 200},
    "masked_lm": {"mask_share": 0.15},
    "dual_encoder": {"scale": 20.0, "top": 20},
    "bitext_mining": {"neighbours": 4, "margin": "ratio", "sweep_gib": 12.0},
}
"""What is decided for all tasks of a kind when they are trained and scored.

Answers have at most 200 characters. A share of 0.15 of the tokens is masked, as in BERT. Cosines
are multiplied by 20 before the softmax over a batch, and 20 candidates are ranked, as in XTREME-R.
A mined pair's cosine is divided by the mean cosine of both sentences to their 4 nearest neighbours
(arXiv:1811.01136), as in XTREME. All layers are scored where their vectors take no more than
12 GiB of disk, as those of BUCC's Chinese sides do at the size of XLM-R large; else the declared
layer alone is, and all of them on the dev split if its vectors fit.
"""

TOKENIZING: Mapping[str, Any] = {"normalisation": "nfkc", "coverage": 0.9995}
"""What is decided for all tokenizers: texts are brought to the Unicode form NFKC, and the rarest
characters, 0.0005 of the text together, become unknown (SentencePiece, arXiv:1808.06226)."""

PROBE: Mapping[str, Any] = {"share": 0.1, "rows": 300, "languages": 8}
"""What of a parallel corpus is kept from a pretraining, to see how well it brings translations
together: a share of the rows, at most so many, retrieved between English and so many languages."""

ALIGNED: Mapping[str, Any] = {"weighting": "ppmi", "power": 0.5}
"""How the counts of tokens in parallel rows are weighted before they are decomposed, and the power
of the singular values that the left vectors are multiplied with."""


TRAINED = ("train", "evaluate", "retrieve")
"""Kinds of stages that a sharding probe has a second time."""


@dataclass
class Stages:
    """The stages made so far, by key, and the job that each was first asked for by.

    ``execution`` says how the steps of a training are computed, where its recipe does. ``marker``
    is what the stages of a sharding probe are marked with, and ``twins`` are the stages that they
    repeat: see `second`.
    """

    resolved: Resolved
    made: dict[str, Stage] = field(default_factory=dict)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    execution: dict[str, dict[str, Any]] = field(default_factory=dict)
    marker: Mapping[str, Any] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    _known: dict[Any, Any] = field(default_factory=dict)

    def second(self, marker: Mapping[str, Any]) -> Stages:
        """Return the same stages, to which others are added as those of a sharding probe.

        Trainings and scorings then have a mark in their identity, with the key of the stage that
        they repeat; what they read of data, tokenizers and pretrainings is the same.
        """
        return replace(self, marker=marker)

    def train(
        self,
        model: Model,
        course: Course,
        training: Training,
        seed: int,
        start: str | None,
        words: tuple[str, ...],
        job: str,
    ) -> str:
        """Add the training of one course on one model, and return its key."""
        uses = [self._use(model, task, course.language, training) for task in course.tasks]
        identity: dict[str, Any] = {
            "model": self._model_id(model),
            **{k: v for k, v in uses[0].items() if k != "input"},
            "training": self._dump(training),
            "seed": seed,
            "head": "new",
        }
        inputs = {"data": uses[0]["input"]}
        if len(uses) > 1:
            mix = [{k: v for k, v in use.items() if k != "input"} for use in uses]
            identity = {
                "model": identity["model"],
                "mix": mix,
                "training": identity["training"],
                "seed": seed,
                "head": "new",
            }
            inputs = {f"data:{t.task}": u["input"] for t, u in zip(course.tasks, uses, strict=True)}
        if course.sampling is not None:
            identity["sampling"] = dict(course.sampling)
        if course.replay is not None and course.corpus is not None:
            languages = course.corpus.languages
            inputs["replay"] = self.texts(model, course.corpus, training.max_length, languages)
            parts = list(self.parts_of(course.corpus, ("train",), languages))
            protocol = dict(SCORING["masked_lm"])
            identity["replay"] = {**course.replay, "data": parts, "protocol": protocol}
        if course.shared_head:
            identity["heads"] = "shared"
        if course.shuffled:
            identity["labels_shuffled"] = True
        if start is not None:
            inputs["start"] = start
        name = course.tasks[0].task
        key = self._add("train", model, name, words, identity, inputs, ("all",), job)
        if found := training.execution():
            self.execution.setdefault(key, found)
        return key

    def pretrain(self, model: Model, seed: int, words: tuple[str, ...], job: str) -> str:
        """Add the pretraining of a model from scratch, and return its key."""
        known = ("pretrain", model.name, seed)
        if known not in self._known:
            settings = model.pretrain
            assert settings is not None
            tokenizer = self.tokenizer(model)
            assert tokenizer is not None
            inputs, corpora = {"tokenizer": tokenizer}, []
            for corpus, languages, exponent in self._corpora(settings):
                texts = self.texts(model, corpus, settings.max_length, languages)
                inputs[f"data:{corpus.corpus}"] = texts
                parts = list(self.parts_of(corpus, ("train",), languages))
                corpora.append({"exponent": exponent, "data": parts})
            elsewhere = {"corpus", "languages", "exponent", "tokenizer", "max_length", "seeds"}
            identity: dict[str, Any] = {
                "architecture": dict(model.architecture),
                **settings.model_dump(exclude=elsewhere, exclude_none=True),
                "corpora": corpora,
                "seed": seed,
            }
            read = self._corpora(settings)
            if any(corpus.parallel and len(languages) > 1 for corpus, languages, _ in read):
                identity |= {"pooling": model.pooling, "probe": dict(PROBE)}
            if settings.initialisation == "aligned":
                identity["aligned"] = dict(ALIGNED)
            name = settings.corpora[0]
            self._known[known] = self._add(
                "pretrain", model, name, words, identity, inputs, ("all",), job
            )
        key: str = self._known[known]
        return key

    def tokenizer(self, model: Model) -> str | None:
        """Add the training of a model's own tokenizer; None when it comes with a checkpoint."""
        settings = model.pretrain
        if settings is None:
            return None
        known = ("tokenizer", model.name)
        if known not in self._known:
            identity = {
                **settings.tokenizer.model_dump(),
                **TOKENIZING,
                "special": [list(token) for token in special_tokens(model.architecture)],
                "corpora": [
                    {
                        "source": self._source(corpus),
                        "exponent": exponent,
                        "data": list(self.parts_of(corpus, ("train",), languages)),
                    }
                    for corpus, languages, exponent in self._corpora(settings)
                ],
            }
            words = (settings.tokenizer.algorithm, *settings.corpora)
            job, name = self._prepare_job(model), settings.corpora[0]
            self._known[known] = self._add(
                "tokenizer", model, name, words, identity, {}, ("all",), job
            )
        key: str = self._known[known]
        return key

    def texts(self, model: Model, corpus: Corpus, length: int, languages: tuple[str, ...]) -> str:
        """Add the tokenised texts of a corpus, shared by every model with the same tokenizer."""
        known = ("texts", model.name, corpus.corpus, length, languages)
        if known not in self._known:
            own, inputs = self._tokenizer(model)
            identity = {
                **own,
                "max_length": length,
                "kind": "corpus",
                "parallel": corpus.parallel,
                "source": self._source(corpus),
            }
            parts, job = self.parts_of(corpus, ("train",), languages), self._prepare_job(model)
            name = corpus.corpus
            self._known[known] = self._add(
                "prepare", model, name, (name,), identity, inputs, parts, job
            )
        key: str = self._known[known]
        return key

    def evaluate(
        self, model: Model, goal: Goal, length: int, trained: str, words: tuple[str, ...], job: str
    ) -> str:
        """Add the scoring of a trained model in every language of its target."""
        task = goal.task
        data = self.prepare(model, task, length, ("test",), goal.languages)
        inputs = {"data": data, "weights": trained}
        identity = {"metric": task.metric, **_beside(task), **_declared(task, SCORING)}
        if task.source.pool is not None:
            # Queries search in candidates of all languages, whichever the study scores.
            whole = task.languages if task.source.pool == "each" else ("all",)
            self.prepare(model, task, length, ("pool",), whole)
            identity["pool"] = [self.part(task, "pool", x) for x in whole]
        return self._add(
            "evaluate", model, task.task, words, identity, inputs, self._parts(goal), job
        )

    def retrieve(
        self, model: Model, goal: Goal, start: str | None, words: tuple[str, ...], job: str
    ) -> str:
        """Add the scoring of an encoder without a training for this target."""
        settings = self.resolved.retrievals[(goal.task.task, model.name)]
        length = settings.max_length
        data = self.prepare(model, goal.task, length, ("test",), goal.languages)
        identity = {
            "model": self._model_id(model),
            "metric": goal.task.metric,
            "depth": settings.depth,
            "pooling": settings.pooling,
            **_declared(goal.task, SCORING),
        }
        if goal.task.kind == "bitext_mining":
            tuned = tuple(x for x in goal.languages if self._has(goal.task, "dev", x))
            identity["threshold"] = "dev" if goal.task.has("dev") else "crossfit"
            if tuned:
                self.prepare(model, goal.task, length, ("dev",), tuned)
        inputs = {"data": data} | ({"weights": start} if start else {})
        name = goal.task.task
        return self._add("retrieve", model, name, words, identity, inputs, self._parts(goal), job)

    def prepare(
        self,
        model: Model,
        task: Task,
        length: int,
        splits: tuple[str, ...],
        languages: tuple[str, ...],
    ) -> str:
        """Add the tokenised data of a task, shared by every model with the same tokenizer."""
        known = ("prepare", model.name, task.task, length, splits, languages)
        if known not in self._known:
            own, inputs = self._tokenizer(model)
            identity = {
                **own,
                "max_length": length,
                "kind": task.kind,
                "labels": list(task.labels),
                "source": self._source(task),
                **_declared(task, PREPARING, model),
            }
            parts, job = self.parts_of(task, splits, languages), self._prepare_job(model)
            self._known[known] = self._add(
                "prepare", model, task.task, (task.task,), identity, inputs, parts, job
            )
        key: str = self._known[known]
        return key

    def parts_of(
        self, entry: Task | Corpus, splits: tuple[str, ...], languages: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Name the parts of an entry's data."""
        return tuple(self.part(entry, split, x) for split in splits for x in languages)

    def part(self, entry: Task | Corpus, split: str, language: str) -> str:
        """Name a part of an entry's data; that of local files bears the hash of what they hold."""
        source = entry.source
        if source.files is None:
            return f"{split}.{language}"
        known = ("part", entry.place, split, language)
        if known not in self._known:
            content = self._content(entry, split, language)
            self._known[known] = f"{split}.{language}@{content}"
        name: str = self._known[known]
        return name

    def _content(self, entry: Task | Corpus, split: str, language: str) -> str:
        """Return a short hash of the local files of a split; ``absent00`` where they may lack."""
        files = self._files(entry, split, language)
        if entry.source.supplied and not all(path.is_file() for path in files):
            return "absent00"
        found = [file_sha256(path) for path in files]
        return (found[0] if len(found) == 1 else digest(found))[:8]

    def _files(self, entry: Task | Corpus, split: str, language: str) -> list[Path]:
        folder = self.resolved.catalog.folder(*entry.place)
        # A split without a file is the folder itself, which cannot be read: that is said.
        names = entry.files_of(split, language) or ("",)
        return [path for name in names for path in matching(folder, name)]

    def _has(self, task: Task, split: str, language: str) -> bool:
        """Tell whether a task has a split in a language; of files to be supplied, if they are here.

        Where none of a language's files are here yet, all are taken to come.
        """
        if not task.has(split):
            return False
        if task.source.files is None or not task.source.supplied:
            return True
        here = [self._content(task, x, language) != "absent00" for x in (split, "test")]
        return here[0] or not here[1]

    def folder_of(self, model: Model, folder: str) -> Path:
        """Return where a local checkpoint of a model is."""
        resolved = self.resolved
        base = model_folder(model.name, resolved.families, resolved.catalog, resolved.path)
        return (base / folder).resolve()

    def _use(self, model: Model, task: Task, language: str, training: Training) -> dict[str, Any]:
        known = ("use", model.name, task.task, language, training.max_length)
        if known not in self._known:
            length = training.max_length
            dev = ("dev",) if task.has("dev") else ()
            if language == "en":
                key = self.prepare(model, task, length, ("train", *dev), ("en",))
            else:
                if dev:
                    self.prepare(model, task, length, dev, ("en",))
                key = self.prepare(model, task, length, ("train",), (language,))
            self._known[known] = {
                "kind": task.kind,
                "labels": list(task.labels),
                "metric": task.metric,
                "data": [
                    self.part(task, "train", language),
                    *(self.part(task, split, "en") for split in dev),
                ],
                "input": key,
                **_beside(task),
                **_declared(task, SCORING),
            }
        use: dict[str, Any] = self._known[known]
        return use

    def _parts(self, goal: Goal) -> tuple[str, ...]:
        known = ("parts", goal.task.task, goal.languages)
        if known not in self._known:
            parts = []
            for language in goal.languages:
                part = self.part(goal.task, "test", language).removeprefix("test.")
                tuned = goal.task.kind == "bitext_mining" and self._has(goal.task, "dev", language)
                if tuned and "@" in part:
                    part += f"-{self._content(goal.task, 'dev', language)}"
                parts.append(part)
            self._known[known] = tuple(parts)
        parts_: tuple[str, ...] = self._known[known]
        return parts_

    def _dump(self, training: Training) -> dict[str, Any]:
        known = ("training", training)
        if known not in self._known:
            self._known[known] = training.identity()
        dumped: dict[str, Any] = self._known[known]
        return dumped

    def _corpora(self, settings: Pretraining) -> Iterator[tuple[Corpus, tuple[str, ...], float]]:
        """Yield the corpora of a pretraining, with their languages and how these are drawn."""
        for name in settings.corpora:
            corpus = self.resolved.catalog.corpora[name]
            own = settings.exponent
            yield (
                corpus,
                languages_of(corpus, settings),
                corpus.exponent if own is None else own,
            )

    def _source(self, entry: Task | Corpus) -> dict[str, Any]:
        return entry.source.model_dump(exclude={"files"}, exclude_defaults=True, mode="json")

    def _prepare_job(self, model: Model) -> str:
        return f"prepare-{slug(self.resolved.families[model.name])}"

    def _model_id(self, model: Model) -> str:
        known = ("model", model.name)
        if known not in self._known:
            identity: dict[str, Any] = {"layers": model.layers, "pooling": model.pooling}
            if model.checkpoint is not None:
                source = self._checkpoint_id(model, model.checkpoint, MODEL_FILES)
                identity["checkpoint"] = source
            else:
                identity["architecture"] = model.architecture
            if model.tuning != "full":
                identity["tuning"] = model.tuning
                assert model.adapter is not None
                identity["adapter"] = model.adapter.model_dump(mode="json")
            self._known[known] = digest(identity)[:16]
        name: str = self._known[known]
        return name

    def _tokenizer(self, model: Model) -> tuple[dict[str, str], dict[str, str]]:
        """Return where a tokenizer comes from: what names it in an identity, or the stage."""
        trained = self.tokenizer(model)
        if trained is not None:
            return {}, {"tokenizer": trained}
        known = ("tokenizer", model.name)
        if known not in self._known:
            source = model.tokenizer or model.checkpoint
            assert source is not None
            identity = self._checkpoint_id(model, source, TOKENIZER_FILES)
            self._known[known] = digest(identity)[:16]
        return {"tokenizer": self._known[known]}, {}

    def _checkpoint_id(
        self, model: Model, source: Checkpoint, patterns: tuple[str, ...]
    ) -> Mapping[str, Any]:
        identity = source.model_dump(exclude_defaults=True)
        if source.folder is not None:
            identity["folder"] = folder_sha256(self.folder_of(model, source.folder), patterns)
        return identity

    def _add(
        self,
        kind: Kind,
        model: Model,
        task: str,
        words: tuple[str, ...],
        identity: Mapping[str, Any],
        inputs: Mapping[str, str],
        parts: tuple[str, ...],
        job: str,
    ) -> str:
        twin = ""
        if self.marker and kind in TRAINED:
            plain = {role: self.twins.get(up, up) for role, up in inputs.items()}
            twin = stage_key(kind, words, identity, plain)
            identity = {**identity, "sharding_probe": {**self.marker, "of": twin}}
            words = (*words, "probe")
        key = stage_key(kind, words, identity, inputs)
        if twin:
            self.twins[key] = twin
        known = self.made.get(key)
        if known is None:
            self.made[key] = Stage(key, kind, model.name, task, identity, inputs, parts)
            self.jobs.setdefault(job, []).append(key)
            self.placed[key] = job
        elif known.parts != parts and set(parts) - set(known.parts):
            self.made[key] = replace(known, parts=tuple(dict.fromkeys((*known.parts, *parts))))
        return key


def _beside(task: Task) -> dict[str, str]:
    """Say which score is computed beside the metric, if a task asks for one."""
    return {} if task.f1_of is None else {"f1_of": task.f1_of}


def _declared(task: Task, protocol: Protocol, model: Model | None = None) -> dict[str, Any]:
    """Return what the identity of a stage says of a task's kind, and of where its labels are."""
    found: dict[str, Any] = {}
    if task.kind in protocol:
        found["protocol"] = dict(protocol[task.kind])
        if "tag_at" in found["protocol"] and model is not None and model.pooling == "last":
            found["protocol"]["tag_at"] = "last_piece"
    if task.labels_from is not None:
        found["labels_from"] = task.labels_from
    return found
