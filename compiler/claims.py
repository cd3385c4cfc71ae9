"""Claims of a publication as data: what it says of which scores, so that a report can judge it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from compiler.terms import Frozen, Name

Word = Annotated[str, Field(min_length=1, max_length=200)]


class Subset(Frozen):
    """The part of the scores that a claim is about; a list that is left out takes all."""

    models: tuple[Word, ...] = Field((), description="Sizes; default: all.")
    intermediates: tuple[Word, ...] = Field(
        (), description="Arms; default: all that the primary estimate includes."
    )
    targets: tuple[Word, ...] = Field((), description="Target tasks; default: all.")
    languages: Literal["all", "seen", "unseen"] | tuple[Word, ...] = Field(
        "all", description="A list, or those that were or were not in the pretraining."
    )


class Claim(Frozen):
    """One claim, and what an estimate must show to replicate it."""

    claim: Name = Field(description="Its name.")
    says: str = Field(min_length=8, description="What is claimed, in words of your own.")
    estimand: Literal["gain", "slope", "difference", "arm_difference"] = Field(
        description="`gain` over direct fine-tuning, mean over the sizes; `slope` of the gain per "
        "tenfold parameters; `difference` of the gain, larger of two sizes minus the smaller; "
        "`arm_difference`: gain of the arms minus that of the arms `against`."
    )
    direction: Literal["positive", "negative", "none"] = Field(
        description="Sign of the estimand; `none`: it lies within the `margin` around 0."
    )
    of: Subset = Field(Subset(), description="The scores that it is about.")
    against: tuple[Word, ...] = Field((), description="Only with `arm_difference`: the other arms.")
    average: Literal["zero_shot", "xtreme"] = Field(
        "zero_shot", description="Without English, or with it as XTREME averages."
    )
    level: Literal["L1", "L2", "L3"] = Field(
        "L2", description="What the interval generalises to: new seeds, new tasks, new checkpoints."
    )
    margin: float | None = Field(
        None, gt=0, description="Points that would not matter; only with `direction: none`."
    )
    value: float | None = Field(None, description="The published number in points, if any.")
    source: str = Field(min_length=4, description="Where it was published.")
    untestable: str = Field(
        "", description="Why no study of this design can judge it; it is listed with the reason."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Claim:
        if (self.estimand == "arm_difference") != bool(self.against):
            raise ValueError("`against` goes with `arm_difference`, and is needed there")
        if self.estimand == "arm_difference" and not self.of.intermediates:
            raise ValueError("`arm_difference` needs `of.intermediates`: the arms of the claim")
        if (self.direction == "none") != (self.margin is not None):
            raise ValueError("`margin` goes with `direction: none`, and is needed there")
        return self

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return what it speaks of, by kind."""
        return {
            "model": self.of.models,
            "intermediate": (*self.of.intermediates, *self.against),
            "target": self.of.targets,
        }

    def entry(self) -> dict[str, Any]:
        """Return what a plan keeps of it."""
        return self.model_dump(mode="json")
