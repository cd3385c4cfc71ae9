"""The rules of meaning: what a study that is well formed still gets wrong, or cannot answer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from compiler import power
from compiler.catalog import Catalog
from compiler.entries import Model
from compiler.pretraining import Pretraining
from compiler.resolve import Goal, Reading, Say, Treatment, member_path, readings
from compiler.study import Study
from compiler.terms import RUNNABLE, Phase
from compiler.training import Training
from compiler.validate import suggest


def is_self_pair(arm: Treatment, goal: Goal) -> bool:
    """Tell a self-pair: the arm trains on labelled data that the target itself trains on."""
    targets = {task.train_data for task in goal.trains} - {None}
    return any(task.train_data in targets for task in arm.tasks)


def shared_text(arm: Treatment, goal: Goal) -> tuple[str, ...]:
    """Name the English texts that both trainings are made from."""
    ours = {text for task in arm.tasks for text in task.train_text}
    return tuple(sorted(ours & {text for task in goal.trains for text in task.train_text}))


def is_same_task(arm: Treatment, goal: Goal) -> bool:
    """Tell an arm that is nothing but the target itself, which is not run."""
    return arm.role != "step_matched" and arm.tasks == (goal.task,)


def direct_holds_intermediate(goal: Goal) -> bool:
    """Tell a target whose direct arm is a chain already, as XCOPA's (SIQA, then COPA)."""
    return len(goal.trains) > 1 or (bool(goal.trains) and goal.task.kind == "retrieval")


def pairs(arms: tuple[Treatment, ...], goals: tuple[Goal, ...], say: Say) -> None:
    """Say what each arm has in common with each target."""
    for arm in arms:
        if arm.role != "intermediate":
            continue
        for goal in goals:
            name = goal.task.task
            if is_same_task(arm, goal):
                say(
                    "C201",
                    f"`{arm.name}` is not run before `{name}`: it is the same task",
                    "",
                    arm.path,
                )
            elif is_self_pair(arm, goal):
                say(
                    "C202",
                    f"`{arm.name}` trains on the data of `{name}` itself: longer training, "
                    "not transfer; kept out of the primary estimate",
                    "",
                    arm.path,
                )
            elif shared_text(arm, goal):
                say(
                    "C203",
                    f"`{arm.name}` and `{name}` are made from the same English sentences; "
                    "flagged in the report",
                    "",
                    arm.path,
                )
    for goal in goals:
        if direct_holds_intermediate(goal):
            chain = ", then ".join(task.task for task in goal.trains)
            say(
                "C209",
                f"the direct arm of `{goal.task.task}` holds an intermediate already: {chain}",
                "",
                goal.path,
            )


def duplicates(study: Study, say: Say) -> None:
    """Say what is listed twice."""
    for fieldname, names in (
        ("intermediate", [a.name for a in study.intermediate]),
        ("targets", [t.task for t in study.targets.members]),
        ("seeds", [str(s) for s in study.seeds]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                say(
                    "C104",
                    f"`{name}` is listed twice in `{fieldname}`",
                    "remove one",
                    (fieldname, index),
                )
    kinds: dict[object, str] = {}
    for index, arm in enumerate(study.intermediate):
        for name in sorted({x for x in arm.mix or () if arm.tasks.count(x) > 1}):
            what = f"`{name}` is listed twice in the mix `{arm.name}`"
            say(
                "C104",
                what,
                "remove one; `sampling` says how often each is drawn",
                ("intermediate", index),
            )
        content = arm.model_dump_json(exclude={"name"})
        if content in kinds and kinds[content] != arm.name:
            say(
                "C104",
                f"`{arm.name}` and `{kinds[content]}` are the same training",
                "remove one of the two",
                ("intermediate", index),
            )
        kinds.setdefault(content, arm.name)


def analysis(study: Study, say: Say) -> None:
    """Say where the analysis plan names what the study does not have."""
    names = {arm.name for arm in study.intermediate}
    for index, name in enumerate(study.analysis.exploratory):
        if name not in names:
            say(
                "C103",
                f"there is no arm `{name}`",
                f"choose from: {', '.join(sorted(names))}",
                ("analysis", "exploratory", index),
            )
    if names and names <= set(study.analysis.exploratory):
        say(
            "C117",
            "every arm is exploratory: nothing is left for the primary estimate",
            "take one out of `exploratory`",
            ("analysis", "exploratory"),
        )


def caveats(goals: tuple[Goal, ...], say: Say) -> None:
    """Say what is wrong with the data of the languages that are scored."""
    hint = (
        "leave the language out, look in the task's limitations for other data, or acknowledge it"
    )
    for goal in goals:
        for language in goal.languages:
            if text := goal.task.caveats.get(language):
                what = f"`{goal.task.task}` in {language}: {text}"
                say("C233", what, hint, goal.path)


def unscored(study: Study, goals: tuple[Goal, ...], say: Say) -> None:
    """Say which languages of the study no target is scored in."""
    scored = {language for goal in goals for language in goal.languages}
    own = all(not target.languages for target in study.targets.members)
    if not goals or not own or study.languages == "all":
        return  # a target's own list stands in the place of the study's
    for index, language in enumerate(study.languages):
        if language != "en" and language not in scored:
            what = f"no target has data in `{language}`: nothing is scored in it"
            say("C234", what, "take it out, or add a target that has it", ("languages", index))


def hardware(study: Study, catalog: Catalog, say: Say) -> None:
    """Say when the device is none that is known."""
    name = study.hardware.device
    known = ["auto", "cpu", "cuda", *catalog.devices]
    if name not in known:
        meant = "cuda" if name.lower() in ("gpu", "nvidia") else name
        hint = f"did you mean `{meant}`?" if meant in known else suggest(name, known, "hardware")
        say("C120", f"there is no device `{name}`", hint, ("hardware", "device"))


def design(
    study: Study,
    models: tuple[Model, ...],
    goals: tuple[Goal, ...],
    arms: tuple[Treatment, ...],
    families: Mapping[str, str],
    trainings: Mapping[tuple[Phase, str, str], Training],
    say: Say,
) -> None:
    """Say what a valid study will not be able to answer, or this version cannot run."""
    sizes = {m.name: m.counts.total for m in models}
    if len(models) == 1:
        say("C204", "with one size there is no size effect to estimate", "add sizes", ("models",))
    elif len(models) == 2:
        say(
            "C205",
            "two sizes give a difference, and no claim about other checkpoints (L3)",
            "",
            ("models",),
        )
    if len(set(study.seeds)) == 1:
        say(
            "C206",
            "one seed leaves the noise of a run unknown: no interval for new seeds (L1)",
            "give at least three `seeds`",
            ("seeds",),
        )
    trained = [g for g in goals if g.trains]
    if len(trained) == 1:
        say(
            "C207",
            "one trained target gives no claim about new tasks (L2)",
            "add targets",
            ("targets",),
        )
    _pinned(study, models, goals, say)
    for index, model in enumerate(models):
        if model.gated:
            what = f"`{model.name}` is gated: the hub asks for accepted terms and a token"
            say("C210", what, "set HF_TOKEN where the stages run", _place(study, index))
    if study.models.members and len(models) > 1 and len(set(sizes.values())) < len(models):
        say(
            "C212",
            "two models have the same number of parameters: the size axis cannot tell them apart",
            "check `parameters`",
            ("models",),
        )
    if len({(m.tuning, m.adapter) for m in models}) > 1:
        say(
            "C213",
            "the sizes are tuned differently, so a size effect may be one of tuning",
            "use one `tuning` for all, or acknowledge it",
            ("models",),
        )
    _differences(study, models, families, trainings, say)
    _runnable(study, models, goals, arms, say)


def pretrainings(models: tuple[Model, ...], say: Say) -> None:
    """Say where the sizes from scratch are pretrained by different settings."""
    made = {m.name: m.pretrain for m in models if m.pretrain is not None}
    if len(set(made.values())) < 2:
        return
    fields = [
        name
        for name in Pretraining.model_fields
        if len({getattr(pretrain, name) for pretrain in made.values()}) > 1
    ]
    shown = [
        f"`tokens` ({', '.join(f'{m} {p.tokens:,}' for m, p in made.items())})"
        if name == "tokens"
        else f"`{name}`"
        for name in fields
    ]
    what = f"the sizes are pretrained by different settings: {', '.join(shown)}"
    say("C220", what, "use one setting for all sizes, or acknowledge it", ("models",))


def sources(corpora: Mapping[str, Reading], goals: tuple[Goal, ...], say: Say) -> None:
    """Say which corpora come from where a target comes from."""
    for name, reading in corpora.items():
        ours = reading.corpus.source
        known = [
            goal.task.task
            for goal in goals
            for theirs in [goal.task.source]
            if (ours.reader or ours.hub) and (ours.reader, ours.hub) == (theirs.reader, theirs.hub)
        ]
        if known:
            what = (
                f"the corpus `{name}` is made from the source of {_listed(known)}; its limitations "
                "say what of the tests it leaves out"
            )
            say("C221", what, "", reading.path)


def coverage(
    catalog: Catalog,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    goals: tuple[Goal, ...],
    say: Say,
) -> None:
    """Say which languages are scored that a family has not seen, where its list is published."""
    scored = {language for goal in goals for language in goal.languages}
    for name in dict.fromkeys(families[m.name] for m in models):
        family = catalog.families.get(name)
        seen = set(family.languages) if family else set()
        for model in models:
            if families[model.name] == name and model.pretrain is not None:
                for reading in readings((model,), (), catalog).values():
                    seen |= set(reading.languages)
        unseen = sorted(scored - seen) if seen else []
        if unseen:
            what = (
                f"not in the pretraining of `{name}`, whose tokenizer may not cover them: "
                f"{', '.join(unseen)}"
            )
            say("C219", what, "", ("models",))


def margin(
    study: Study,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    goals: tuple[Goal, ...],
    arms: tuple[Treatment, ...],
    say: Say,
) -> None:
    """Say when the margin is smaller than what such a design can find equivalence within (L2)."""
    wanted = study.analysis.margin
    primary = [
        arm
        for arm in arms
        if arm.role == "intermediate" and arm.name not in study.analysis.exploratory
    ]
    foreign = [
        len(set(goal.languages) - {"en"})
        for goal in goals
        if goal.trains and not all(is_self_pair(arm, goal) for arm in primary)
    ]
    languages = [count for count in foreign if count]
    if wanted is None or len(languages) < 2 or len(models) < 2:
        return  # nothing is asked, or C204 and C207 say what is missing
    axis = study.analysis.size_axis
    sizes: dict[str, list[int]] = {}
    for model in models:
        sizes.setdefault(families[model.name], []).append(getattr(model.parameters, axis))
    designs = [power.design_of(counts, languages, len(study.seeds)) for counts in sizes.values()]
    within = min(power.smallest_margin(design) for design in designs)
    if wanted < within < math.inf:
        say(
            "C230",
            f"a margin of {wanted:g} is out of reach: four of five such studies can say "
            f"`equivalent` only within {within:.1f} points or more (L2, {len(languages)} targets; "
            "the variances are assumed)",
            "add targets or sizes, give a margin that is in reach, or acknowledge it",
            ("analysis", "margin"),
        )


def replaced(catalog: Catalog, used: tuple[str, ...], say: Say) -> None:
    """Say which definitions of the author's own take the place of ours."""
    for place in used:
        file, *before = catalog.origins.get(place, ("",))
        if before:
            say("C231", f"`{place}` comes from {file}, in place of {before[0]}", "", ())


def _differences(
    study: Study,
    models: tuple[Model, ...],
    families: Mapping[str, str],
    trainings: Mapping[tuple[Phase, str, str], Training],
    say: Say,
) -> None:
    """Say where the sizes differ by more than size, by the author's own choice."""
    by_training: dict[tuple[str, str], set[Training]] = {}
    for (phase, name, _), training in trainings.items():
        by_training.setdefault((phase, name), set()).add(training)
    unequal = sorted({name for (_, name), found in by_training.items() if len(found) > 1})
    if unequal:
        what = f"the sizes are trained by different settings on {_listed(unequal)}"
        say("C217", what, "use one setting for all sizes, or acknowledge it", ("recipe",))
    mixed = sorted({families[m.name] for m in models})
    if len(mixed) > 1:
        what = f"several families ({', '.join(mixed)}): each has a line of its own, none joins two"
        say("C218", what, "", ("models",))


def _pinned(study: Study, models: tuple[Model, ...], goals: tuple[Goal, ...], say: Say) -> None:
    """Say which models and data of the hub are not pinned to a commit."""
    why = "the hub's newest commit is used, and no key pins it"
    hint = "`stiltscale lock` pins them; or give the commit hash as `revision`"
    open_models = [
        m.name for m in models if m.checkpoint and m.checkpoint.hub and not m.checkpoint.revision
    ]
    if open_models:
        say("C208", f"no `revision` for {_listed(open_models)}: {why}", hint, ("models",))
    tasks = {t.task: t for g in goals for t in (g.task, *g.trains)}
    open_data = [n for n, t in tasks.items() if t.source.hub and not t.source.revision]
    if open_data:
        say(
            "C208", f"no `revision` for the data of {_listed(open_data)}: {why}", hint, ("targets",)
        )


def _runnable(
    study: Study,
    models: tuple[Model, ...],
    goals: tuple[Goal, ...],
    arms: tuple[Treatment, ...],
    say: Say,
) -> None:
    """Say what is planned and compiled, and cannot be run by this version."""
    users: dict[str, dict[str, None]] = {}
    for goal in goals:
        for task in (goal.task, *goal.trains):
            if task.kind not in RUNNABLE:
                users.setdefault(task.kind, {})[goal.task.task] = None
    for arm in arms:
        reasons: set[str] = {t.kind for t in arm.tasks if t.kind not in RUNNABLE}
        for reason in sorted(reasons):
            users.setdefault(reason, {})[arm.name] = None
    for reason, names in users.items():
        what = (
            f"this version plans and compiles {reason}, and cannot run it: {_listed(list(names))}"
        )
        say("C211", what, "", ())


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _place(study: Study, index: int) -> tuple[str | int, ...]:
    return member_path(study, index) if study.models.members else ("models",)
