"""Looks up every name of a study in the catalogs: models, arms, targets, languages, recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from compiler import scratch
from compiler.catalog import Catalog
from compiler.entries import Corpus, Model, Task
from compiler.errors import Diagnostic
from compiler.evidence import Source
from compiler.source import Path_
from compiler.strategy import Choice, Probe
from compiler.study import Replay, Study
from compiler.terms import UNTRAINED, Phase
from compiler.training import Retrieval, Training
from compiler.validate import suggest

CONTROL = "none"
Say = Callable[..., None]
"""How a finding is reported: `findings.Findings.say`."""

Role = Literal["intermediate", "step_matched", "placebo"]


@dataclass(frozen=True)
class Goal:
    """A target with the languages it is scored in, and the tasks it is trained on, in order."""

    task: Task
    languages: tuple[str, ...]
    trains: tuple[Task, ...]
    path: Path_


@dataclass(frozen=True)
class Course:
    """One training of an arm: its tasks (several for a mix), and how they are fed."""

    name: str
    tasks: tuple[Task, ...]
    language: str = "en"
    sampling: Mapping[str, Any] | None = None
    replay: Mapping[str, Any] | None = None
    corpus: Corpus | None = None
    shuffled: bool = False
    shared_head: bool = False


@dataclass(frozen=True)
class Treatment:
    """An arm whose names have been looked up: what happens before a target's own training."""

    name: str
    role: Role
    courses: tuple[Course, ...]
    of: str = ""
    path: Path_ = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every task that the arm trains on."""
        return tuple(task for course in self.courses for task in course.tasks)


@dataclass(frozen=True)
class Reading:
    """A corpus that is read, in which languages, and where the study first asks for it."""

    corpus: Corpus
    languages: tuple[str, ...]
    path: Path_


@dataclass(frozen=True)
class Resolved:
    """A study whose every name has been looked up: what expansion needs, and nothing else."""

    path: Path
    study: Study
    catalog: Catalog
    models: tuple[Model, ...]
    families: Mapping[str, str]
    arms: tuple[Treatment, ...]
    goals: tuple[Goal, ...]
    recipes: Mapping[tuple[Phase, str, str], Training]
    retrievals: Mapping[tuple[str, str], Retrieval] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    describes: Mapping[str, str] = field(default_factory=dict)
    lock: Mapping[str, str] = field(default_factory=dict)
    deviations: tuple[Mapping[str, str], ...] = ()
    strategies: Mapping[str, Choice] = field(default_factory=dict)
    evidence: tuple[Source, ...] = ()
    probe: Probe | None = None

    def task(self, name: str) -> Task:
        """Return a task of the catalog by name."""
        return self.catalog.tasks[name]


def models(
    study: Study, catalog: Catalog, say: Say
) -> tuple[tuple[Model, ...], dict[str, str], dict[str, str]]:
    """Return the models of the ladder, the family of each, and the families' descriptions.

    Models from scratch are completed by what they share with others.
    """
    shared = study.models
    chosen = [
        scratch.completed(own, shared.architecture, (shared.pretrain, own.pretrain))
        for own in shared.members
    ]
    families = dict.fromkeys((m.name for m in chosen), "own")
    places = [member_path(study, index) for index in range(len(chosen))]
    describes: dict[str, str] = {}
    several = len(study.models.ladders) > 1
    for place, ladder in enumerate(study.models.ladders):
        path: Path_ = ("models", place) if several else ("models",)
        family = catalog.families.get(ladder.family)
        if family is None:
            near = _family_of(ladder.family, catalog)
            hint = f"did you mean `{near}`?" if near else ""
            hint = hint or suggest(ladder.family, catalog.families, "models")
            say("C101", f"there is no model family `{ladder.family}`", hint, (*path, "family"))
            continue
        describes[family.family] = family.description
        by_size = {
            str(m.size): m.tuned(ladder.tuning, ladder.adapter)
            for m in scratch.members(family, ladder.pretrain)
        }
        if ladder.pretrain is not None and all(m.checkpoint for m in family.members):
            what = f"the family `{family.family}` is not pretrained here, it has checkpoints"
            say("C123", what, "take `pretrain` out", (*path, "pretrain"), True)
        wanted = ladder.sizes or tuple(by_size)
        for index, size in enumerate(wanted):
            member = by_size.get(str(size))
            where: Path_ = (*path, "sizes", index)
            if member is None:
                what = f"the family `{family.family}` has no size `{size}`"
                say("C102", what, suggest(str(size), by_size), where)
            elif member in chosen:
                say("C104", f"the size `{size}` is listed twice", "remove one", where)
            else:
                chosen.append(member)
                families[member.name] = family.family
                places.append(path)
    _troubles(study, chosen, places, catalog, say)
    names = [m.name for m in chosen]
    for index, name in enumerate(names):
        if name in names[:index]:
            say(
                "C104",
                f"two models are called `{name}`",
                "give each its own name",
                ("models", index),
            )
    return tuple(chosen), families, describes


def _family_of(word: str, catalog: Catalog) -> str:
    """Return the family that has a checkpoint of such a name, as `xlm-roberta-base`, or ''."""
    wanted = word.lower().rpartition("/")[2]
    for name, family in catalog.families.items():
        for member in family.members:
            hub = member.checkpoint.hub if member.checkpoint else None
            known = (hub or "").lower().rpartition("/")[2]
            if len(wanted) > 3 and (known == wanted or known.startswith(f"{wanted}-")):
                return name
    return ""


def member_path(study: Study, index: int) -> Path_:
    """Return the path of a model of one's own, in whichever of the two forms it is listed."""
    shared = study.models.pretrain is not None or study.models.architecture
    return ("models", "members", index) if shared else ("models", index)


def _troubles(
    study: Study, chosen: list[Model], places: list[Path_], catalog: Catalog, say: Say
) -> None:
    """Say what is wrong with models from scratch, what several share once."""
    said: set[tuple[str, str]] = set()
    for index, (model, place) in enumerate(zip(chosen, places, strict=True)):
        for code, message, hint, field_ in scratch.troubles(model, catalog.corpora):
            if (code, message) in said:
                continue
            said.add((code, message))
            own = study.models.members[index] if index < len(study.models.members) else None
            shared = own is not None and _shared(study, own, field_)
            say(code, message, hint, ("models", *field_) if shared else (*place, *field_))


def _shared(study: Study, own: Model, field_: Path_) -> bool:
    """Tell whether a field is one that a model takes from what the list of models shares."""
    if field_[0] == "architecture":
        return field_[1] in study.models.architecture and field_[1] not in own.architecture
    shared = study.models.pretrain
    given = own.pretrain.model_fields_set if own.pretrain else ()
    return field_[0] == "pretrain" and shared is not None and field_[1] not in given


def readings(
    models: Iterable[Model], arms: Iterable[Treatment], catalog: Catalog
) -> dict[str, Reading]:
    """Return the corpora that are read, by name, with the languages that are."""
    found: dict[str, Reading] = {}

    def add(corpus: Corpus, languages: tuple[str, ...], path: Path_) -> None:
        known = found.get(corpus.corpus, Reading(corpus, (), path))
        merged = tuple(dict.fromkeys((*known.languages, *languages)))
        found[corpus.corpus] = replace(known, languages=merged)

    for model in models:
        for name in model.pretrain.corpora if model.pretrain else ():
            if model.pretrain is not None and name in catalog.corpora:
                corpus = catalog.corpora[name]
                add(corpus, scratch.languages_of(corpus, model.pretrain), ("models",))
    for arm in arms:
        for course in arm.courses:
            if course.corpus is not None:
                add(course.corpus, course.corpus.languages, arm.path)
    return found


def arms(study: Study, catalog: Catalog, say: Say) -> Iterator[Treatment]:
    """Yield the intermediate arms, then the control arms that go with them."""
    made: dict[str, Treatment] = {}
    for index, arm in enumerate(study.intermediate):
        path: Path_ = ("intermediate", index)
        if arm.name == CONTROL:
            say(
                "C110",
                "`none` is the control arm and is always there",
                "remove it from `intermediate`",
                path,
            )
            continue
        tasks = []
        for name in arm.tasks:
            task = catalog.tasks.get(name)
            if task is None:
                say(
                    "C103",
                    f"there is no task `{name}`",
                    suggest(name, catalog.tasks, "tasks"),
                    path,
                )
            elif task.kind in UNTRAINED:
                say(
                    "C111",
                    f"`{name}` cannot be an intermediate task: it has no training set",
                    "choose a task with labels",
                    path,
                )
            elif "en" not in task.languages and arm.language == "en":
                say(
                    "C112",
                    f"`{name}` has no English data to train on",
                    "choose a task with English data",
                    path,
                )
            else:
                tasks.append(task)
        if len(tasks) < len(arm.tasks):
            continue
        sampling = arm.sampling.model_dump(exclude_none=True) if arm.sampling else None
        if arm.mix and sampling is None:
            sampling = {"strategy": "proportional"}
        replay, corpus = _replay(arm.replay, catalog, (*path, "replay"), say)
        shared = arm.heads == "shared"
        if shared and len({(t.kind, t.labels) for t in tasks}) > 1:
            what = f"the tasks of `{arm.name}` cannot share a head: their kinds or labels differ"
            say("C121", what, "use `heads: separate`", path)
        groups = [(arm.name, tuple(tasks))] if arm.mix else [(t.task, (t,)) for t in tasks]
        courses = tuple(
            Course(name, group, arm.language, sampling, replay, corpus, False, shared)
            for name, group in groups
        )
        made[arm.name] = Treatment(arm.name, "intermediate", courses, path=path)
    yield from made.values()
    names = [a.name for a in study.intermediate]
    for index, control in enumerate(study.controls):
        if control.of is not None and control.of not in names:
            say(
                "C103",
                f"there is no arm `{control.of}` to control",
                suggest(control.of, names),
                ("controls", index, "of"),
            )
        for arm_ in made.values():
            if control.of in (None, arm_.name):
                yield _control(arm_, control.kind, ("controls", index))


def _replay(
    replay: Replay | None, catalog: Catalog, path: Path_, say: Say
) -> tuple[Mapping[str, Any] | None, Corpus | None]:
    """Return the settings of a replay, and its corpus."""
    if replay is None:
        return None, None
    corpus = catalog.corpora.get(replay.corpus)
    if corpus is None:
        what = f"there is no corpus `{replay.corpus}`"
        say("C122", what, suggest(replay.corpus, catalog.corpora), (*path, "corpus"))
        return None, None
    exponent = corpus.exponent if replay.exponent is None else replay.exponent
    return replay.model_dump(exclude={"corpus"}) | {"exponent": exponent}, corpus


def _control(arm: Treatment, kind: Literal["step_matched", "placebo"], path: Path_) -> Treatment:
    courses: tuple[Course, ...] = ()
    if kind == "placebo":
        courses = tuple(replace(course, shuffled=True) for course in arm.courses)
    return Treatment(f"{arm.name}.{kind}", kind, courses, arm.name, path)


def goals(study: Study, catalog: Catalog, say: Say) -> Iterator[Goal]:
    """Yield the targets with the languages that the study scores them in."""
    every = sorted({x for t in catalog.tasks.values() for x in t.languages})
    chosen = study.languages
    if chosen != "all":
        for index, language in enumerate(chosen):
            if language in chosen[:index]:
                say(
                    "C104",
                    f"the language `{language}` is listed twice",
                    "remove one",
                    ("languages", index),
                )
            elif language not in every:
                say(
                    "C105",
                    f"no known task has the language `{language}`",
                    suggest(language, every, "languages"),
                    ("languages", index),
                )
    for name, languages, train_on, path in _wanted(study, catalog, say):
        task = catalog.tasks.get(name)
        if task is None:
            say("C103", f"there is no task `{name}`", suggest(name, catalog.tasks, "tasks"), path)
            continue
        if (why := _unscored(task)) is not None:
            say("C126", f"`{name}` cannot be a target: {why}", "use it as an intermediate", path)
            continue
        trains = []
        names = train_on if train_on is not None else task.train_on
        for other in names or ((task.task,) if task.trains else ()):
            if other in catalog.tasks:
                trains.append(catalog.tasks[other])
            else:
                say(
                    "C103",
                    f"`{name}` is trained on `{other}`, and there is no such task",
                    suggest(other, catalog.tasks),
                    path,
                )
        yield Goal(task, _languages(task, languages, chosen, every, path, say), tuple(trains), path)


def _unscored(task: Task) -> str | None:
    """Return why a task can be trained on and not be scored; None when it can."""
    if task.kind == "masked_lm":
        return "masked words are no transfer to score"
    if task.source.files is None and not task.has("test"):
        return "its source has no labelled test split"
    if task.kind == "dual_encoder" and task.source.pool is None:
        return "it has no `pool` of candidates to search in"
    return None


def _wanted(
    study: Study, catalog: Catalog, say: Say
) -> Iterator[tuple[str, tuple[str, ...] | None, tuple[str, ...] | None, Path_]]:
    """Yield the targets of a list, or those of a benchmark."""
    for index, target in enumerate(study.targets.members):
        yield target.task, target.languages, target.train_on, ("targets", index)
    name = study.targets.benchmark
    if name is None:
        return
    benchmark = catalog.benchmarks.get(name)
    path: Path_ = ("targets", "benchmark")
    if benchmark is None:
        say("C116", f"there is no benchmark `{name}`", suggest(name, catalog.benchmarks), path)
        return
    known = [entry.task for entry in benchmark.tasks]
    for index, left in enumerate(study.targets.without):
        if left not in known:
            say(
                "C103",
                f"`{left}` is not in the benchmark",
                suggest(left, known),
                ("targets", "without", index),
            )
    for entry in benchmark.tasks:
        if entry.task not in study.targets.without:
            # A benchmark's own list is narrowed by the study's languages, not an error there.
            offered = entry.languages
            if offered is not None and study.languages != "all":
                offered = tuple(x for x in study.languages if x in offered)
            yield entry.task, offered, entry.train_on, path


def _languages(
    task: Task,
    given: tuple[str, ...] | None,
    chosen: Any,
    every: Iterable[str],
    path: Path_,
    say: Say,
) -> tuple[str, ...]:
    """Return the languages to score a target in, saying what is missing."""
    known = set(every)
    if given is not None:
        wanted = given
        for place, language in enumerate(wanted):
            where: Path_ = (*path, "languages", place)
            if language in wanted[:place]:
                say("C104", f"the language `{language}` is listed twice", "remove one", where)
            elif language not in task.languages:
                what = f"the task `{task.task}` has no data in `{language}`"
                say("C106", what, suggest(language, task.languages), where)
    else:
        wanted = task.languages if chosen == "all" else chosen
        absent = [x for x in wanted if x in known and x not in task.languages]
        if task.kind in UNTRAINED:
            absent = [x for x in absent if x != "en"]
        if absent:
            what = f"`{task.task}` is not scored in {', '.join(absent)}: it has no such data"
            say("C107", what, "", path)
    languages = tuple(x for x in wanted if x in task.languages)
    if task.kind in UNTRAINED:
        languages = tuple(x for x in languages if x != "en")
    unknown = given is not None and set(wanted) - set(task.languages)
    if not languages and not unknown:
        what = f"no language is left to score `{task.task}` in"
        say("C108", what, f"it has: {', '.join(task.languages)}", path)
    elif languages and "en" not in languages and task.kind not in UNTRAINED:
        what = (
            f"`{task.task}` is not scored in English: the report can show no English score beside "
            "the zero-shot average"
        )
        say("C109", what, "add `en` to `languages`", path)
    return languages
