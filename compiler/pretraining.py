"""How a model from scratch is pretrained: its corpora, tokenizer, objectives and budget."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compiler.terms import Frozen, Language, Name


class Tokenizer(Frozen):
    """A tokenizer that is trained on the corpora, once for all sizes that ask for the same."""

    algorithm: Literal["unigram", "bpe"] = Field("unigram", description="How it is trained.")
    vocabulary: int = Field(
        8000, ge=64, le=2_000_000, description="Entries, those of special tokens included."
    )


class MaskedTokens(Frozen):
    """Masked language modelling on every corpus."""

    masked: float = Field(0.15, gt=0, lt=1, description="Share of the tokens to be guessed.")
    weight: float = Field(1.0, gt=0, description="Weight of its loss in the sum.")


class TranslationPairs(Frozen):
    """Telling a row's translation from the other rows of the batch, on the parallel corpora."""

    temperature: float = Field(0.05, gt=0, description="Divides the cosines before the softmax.")
    weight: float = Field(1.0, gt=0, description="Weight of its loss in the sum.")


class Objectives(Frozen):
    """What is learnt from the corpora; the losses of all that are given are added."""

    mlm: MaskedTokens | None = Field(None, description="Guess masked tokens.")
    translation_pairs: TranslationPairs | None = Field(
        None, description="Bring translations together, other sentences apart."
    )

    @model_validator(mode="after")
    def _some(self) -> Objectives:
        if self.mlm is None and self.translation_pairs is None:
            raise ValueError("give `mlm: {}`, `translation_pairs: {}` or both, with their settings")
        return self


class Pretraining(Frozen):
    """The pretraining of a model from scratch. A field that is given replaces a shared one whole.

    Every field is part of the identity of the pretraining. What a size does not say itself comes
    from its family, or from the list of models that it stands in.
    """

    corpus: Name | tuple[Name, ...] | None = Field(
        None, description="A corpus of the catalog, or several; needed."
    )
    languages: tuple[Language, ...] | None = Field(
        None, min_length=1, description="Default: all that the corpora have."
    )
    exponent: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Languages are drawn by size to this power; default: the corpus's.",
    )
    tokenizer: Tokenizer = Field(Tokenizer.model_validate({}), description="Trained first.")
    objectives: Objectives = Field(
        Objectives.model_validate({"mlm": {}}), description="What is learnt; default: `mlm` alone."
    )
    initialisation: Literal["random", "aligned"] = Field(
        "random",
        description="`aligned`: token embeddings from a truncated singular value decomposition of "
        "how often each token occurs in each parallel row, all languages of it together.",
    )
    tokens: int | None = Field(
        None, gt=0, description="Budget of the size: tokens read, padding not counted; needed."
    )
    batch: int = Field(
        64, gt=0, description="Rows per optimizer step for each objective; a pair is two."
    )
    learning_rate: float = Field(5e-4, gt=0, description="Peak learning rate of AdamW.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps with rising rate.")
    schedule: Literal["linear", "constant"] = Field("linear", description="After the warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Not on biases and layer norms.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    max_length: int = Field(128, ge=8, le=8192, description="Subwords; longer is cut.")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Of the forward pass.")
    seeds: Annotated[int, Field(ge=0, lt=2**31)] | Literal["per_seed"] = Field(
        0,
        description="Seed of the one pretraining of a size, which every seed of the study then "
        "starts from; or `per_seed`: one pretraining for each, so that its noise is seen.",
    )

    @property
    def corpora(self) -> tuple[str, ...]:
        """The names of the corpora, in the author's order."""
        return (self.corpus,) if isinstance(self.corpus, str) else self.corpus or ()
