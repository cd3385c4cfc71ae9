"""Puts together what a model from scratch is: shared settings, vocabulary, parameter counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from compiler.architecture import DEFAULTS, filled, parameters, positions, problems
from compiler.entries import Corpus, Family, Model
from compiler.pretraining import Pretraining
from compiler.validate import suggest


class Trouble(NamedTuple):
    """What is wrong with a model from scratch, and the field of it that says so."""

    code: str
    message: str
    hint: str
    field: tuple[str | int, ...]


def completed(
    model: Model, architecture: Mapping[str, Any], layers: Iterable[Pretraining | None]
) -> Model:
    """Return a model with what it shares with others, its own last; a checkpoint as it is.

    ``layers`` are the pretrainings that apply, from the general to the particular; a field that
    one gives replaces the same field of those before it, whole. What is still missing or wrong is
    said by ``troubles``.
    """
    known = [layer for layer in layers if layer is not None]
    own = {**architecture, **model.architecture}
    if model.checkpoint is not None or not known:
        return model.model_copy(update={"architecture": own}) if architecture else model
    given: dict[str, Any] = {}
    for layer in known:
        given |= layer.model_dump(exclude_unset=True)
    pretrain = Pretraining.model_validate(given)
    whole = filled(own, pretrain.tokenizer.vocabulary)
    counts = model.parameters or parameters(whole)
    update = {"architecture": whole, "pretrain": pretrain, "parameters": counts}
    return model.model_copy(update=update)


def members(family: Family, change: Pretraining | None = None) -> tuple[Model, ...]:
    """Return the sizes of a family of the catalog; ``change`` is what a study changes of it."""
    return tuple(
        completed(model, family.architecture, (family.pretrain, model.pretrain, change))
        for model in family.members
    )


def languages_of(corpus: Corpus, pretrain: Pretraining) -> tuple[str, ...]:
    """Return the languages of a corpus that a pretraining reads, in the order of the corpus."""
    chosen = pretrain.languages
    return tuple(x for x in corpus.languages if chosen is None or x in chosen)


def longest(model: Model) -> int | None:
    """Return the longest input of a model from scratch in tokens; None when it is not known."""
    return positions(model.architecture) if model.pretrain is not None else None


def troubles(model: Model, corpora: Mapping[str, Corpus]) -> Iterator[Trouble]:
    """Yield what is missing or wrong in a completed model from scratch."""
    if model.pretrain is None:
        return
    yield from _of_a_checkpoint(model)
    yield from _shape(model, model.pretrain)
    yield from _texts(model.pretrain, corpora)


def _of_a_checkpoint(model: Model) -> Iterator[Trouble]:
    for field, instead in (
        ("layers", "`num_hidden_layers` in its architecture says how many it has"),
        ("tokenizer", "`tokenizer` in `pretrain` says how its own is trained"),
        ("gated", "nothing of it comes from the hub"),
    ):
        if getattr(model, field):
            what = f"`{model.name}` is from scratch, and `{field}` is for checkpoints"
            yield Trouble("C123", what, instead, (field,))


def _shape(model: Model, pretrain: Pretraining) -> Iterator[Trouble]:
    architecture = model.architecture
    for field, what, hint in problems(architecture):
        said = f"the architecture of `{model.name}` {what}"
        yield Trouble("C124", said, hint, ("architecture", field))
    size = pretrain.tokenizer.vocabulary
    if architecture["vocab_size"] != size:
        what = f"`vocab_size` {architecture['vocab_size']} of `{model.name}` is not the {size} of "
        hint = "leave `vocab_size` out; it is filled in"
        yield Trouble("C124", f"{what}its tokenizer", hint, ("architecture", "vocab_size"))
    counted = parameters(architecture)
    if model.parameters is None and not any(problems(architecture)):
        what = f"the parameters of `{model.name}` are not known"
        hint = f"give `parameters`; they are computed for {', '.join(DEFAULTS)} alone"
        yield Trouble("C124", what, hint, ("architecture", "model_type"))
    if counted is not None and model.parameters not in (None, counted):
        what = (
            f"the architecture of `{model.name}` has {counted.total:,} parameters, "
            f"{counted.non_embedding:,} of them non-embedding, and `parameters` says otherwise"
        )
        yield Trouble("C124", what, "leave `parameters` out; they are computed", ("parameters",))
    longest = positions(architecture)
    if longest is not None and pretrain.max_length > longest:
        what = f"`{model.name}` is pretrained on {pretrain.max_length} subwords"
        hint = "lower `max_length`, or raise `max_position_embeddings`"
        yield Trouble(
            "C124", f"{what} and has positions for {longest}", hint, ("pretrain", "max_length")
        )


def _texts(pretrain: Pretraining, corpora: Mapping[str, Corpus]) -> Iterator[Trouble]:
    where: tuple[str | int, ...] = ("pretrain", "corpus")
    for field in ("corpus", "tokens"):
        if not getattr(pretrain, field):
            hint = f"add `{field}:`" + ("; " + suggest("", corpora) if field == "corpus" else "")
            what = f"the pretraining has no `{field}`"
            yield Trouble("C123", what, hint, ("pretrain", field))
    for place, name in enumerate(pretrain.corpora):
        at = where if isinstance(pretrain.corpus, str) else (*where, place)
        if name not in corpora:
            yield Trouble("C122", f"there is no corpus `{name}`", suggest(name, corpora), at)
        elif name in pretrain.corpora[:place]:
            yield Trouble("C104", f"the corpus `{name}` is listed twice", "remove one", at)
        elif not languages_of(corpora[name], pretrain):
            hint = f"it has: {', '.join(corpora[name].languages)}"
            what = f"the corpus `{name}` has none of the languages to pretrain on"
            yield Trouble("C123", what, hint, at)
    known = [corpora[name] for name in pretrain.corpora if name in corpora]
    if len(known) < len(pretrain.corpora):
        return
    every = {x for corpus in known for x in corpus.languages}
    for place, language in enumerate(pretrain.languages or ()):
        where = ("pretrain", "languages", place)
        if language not in every:
            what = f"no corpus of the pretraining has the language `{language}`"
            yield Trouble("C123", what, suggest(language, every), where)
    pairs = any(corpus.parallel and len(languages_of(corpus, pretrain)) > 1 for corpus in known)
    if known and not pairs:
        yield from _unpaired(pretrain)


def _unpaired(pretrain: Pretraining) -> Iterator[Trouble]:
    hint = "add a parallel corpus; `stiltscale corpora` says which are"
    if pretrain.objectives.translation_pairs is not None:
        what = "`translation_pairs` needs a parallel corpus with two of the languages"
        yield Trouble("C123", what, hint, ("pretrain", "objectives", "translation_pairs"))
    if pretrain.initialisation == "aligned":
        what = "`initialisation: aligned` needs a parallel corpus with two of the languages"
        yield Trouble("C123", what, hint, ("pretrain", "initialisation"))
