"""Scores one tag for each word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from runtime.metrics.pairing import pair

Tags = Sequence[str | None]
"""The tags of a sentence; a prediction has None for a word that the model did not see."""

UPOS = frozenset(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X _".split()
)
"""The parts of speech of Universal Dependencies 2, and its mark for none."""

_SPAN_TAG = re.compile(r"O|[BIES]-.+", re.DOTALL)


def accuracy(gold: Mapping[str, Sequence[str]], predicted: Mapping[str, Tags]) -> dict[str, float]:
    """Return the share of words whose tag is right; words without a prediction are wrong.

    Raises:
        ValueError: there is nothing to score, a prediction is for no sentence, or a sentence has
            more or fewer tags than words.
    """
    words = [
        (a, b)
        for tags, found in _sentences(gold, predicted)
        for a, b in zip(tags, found, strict=True)
    ]
    if not words:
        raise ValueError("there is nothing to score: no sentence has a word")
    return {"accuracy": 100.0 * sum(a == b for a, b in words) / len(words)}


def span_f1(gold: Mapping[str, Sequence[str]], predicted: Mapping[str, Tags]) -> dict[str, float]:
    """Return micro F1, precision and recall of spans, and the accuracy over words.

    A span is right if its words and its type are. Tags are read as CoNLL's script (conlleval)
    reads them, which is seqeval's default and XTREME's score for PAN-X: an ``I-`` that continues
    no span of its type opens one. Words without a prediction count as ``O``. The F1 is 0 where no
    span is right, even if neither side has any.

    Raises:
        ValueError: as ``accuracy``, or a tag is neither ``O`` nor a prefix (B, I, E or S), a hyphen
            and a type: seqeval would take the first letter of such a tag for its prefix.
    """
    # seqeval takes a second to import, and most callers score no spans.
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    word = accuracy(gold, predicted)
    right: list[list[str]] = []
    found: list[list[str]] = []
    for ours, theirs in _sentences(gold, predicted):
        right.append(list(ours))
        found.append([tag or "O" for tag in theirs])
    strange = sorted({t for s in (*right, *found) for t in s if not _SPAN_TAG.fullmatch(t)})
    if strange:
        raise ValueError(f"a tag of a span is `O` or such as `B-PER`, and not `{strange[0]}`")
    # A model that predicts no span has no precision: that is 0, and nothing to warn of.
    precision, recall, f1, _ = precision_recall_fscore_support(
        right, found, average="micro", warn_for=(), zero_division=0
    )
    return {
        "span_f1": 100.0 * float(f1),
        "precision": 100.0 * float(precision),
        "recall": 100.0 * float(recall),
        **word,
    }


def xtreme_f1(gold: Mapping[str, Sequence[str]], predicted: Mapping[str, Tags]) -> dict[str, float]:
    """Return the F1 that XTREME shows for parts of speech, which is not an accuracy.

    XTREME gives bare tags to seqeval, which reads them as spans: a run of equal tags is one span,
    and all its words must be right. The first letter is taken for a prefix, so tags in B, E or S
    (SCONJ, SYM) open a new span at each word. This is what seqeval up to 0.0.13 computes, with
    which XTREME's own test agrees. From 0.0.15 on seqeval refuses bare tags, and from 0.0.18 on
    it cuts their first letter off, which makes CCONJ and SCONJ one.

    Raises:
        ValueError: as ``accuracy``, or a tag is empty or has a hyphen: it is not a bare one.
    """
    shared = ours = theirs = 0
    for a, b in _sentences(gold, predicted):
        spans, guesses = set(_runs(a)), set(_runs(b))
        shared += len(spans & guesses)
        ours += len(spans)
        theirs += len(guesses)
    return {"xtreme_f1": 100.0 * 2 * shared / (ours + theirs) if shared else 0.0}


def are_parts_of_speech(gold: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether all tags are parts of speech, so that XTREME's F1 over runs applies."""
    return all(UPOS.issuperset(tags) for tags in gold.values())


def _sentences(
    gold: Mapping[str, Sequence[str]], predicted: Mapping[str, Tags]
) -> Iterator[tuple[Sequence[str], Tags]]:
    for (tags, found), name in zip(pair(gold, predicted), gold, strict=True):
        if found is None:
            found = [None] * len(tags)
        if len(found) != len(tags):
            raise ValueError(f"`{name}` has {len(tags)} words and {len(found)} predicted tags")
        yield tags, found


def _runs(tags: Tags) -> Iterator[tuple[int, int, str]]:
    """Yield the start, end and tag of each run of equal tags, as old versions of seqeval do."""
    start = 0
    for tag, same in groupby(tags):
        end = start + len(list(same))
        if tag is not None:
            if not tag or "-" in tag:
                raise ValueError(f"`{tag}` is not a bare tag such as NOUN")
            if tag[0] in "BES":
                yield from ((place, place + 1, tag) for place in range(start, end))
            elif tag[0] not in "O.":  # the two prefixes that are outside of any span
                yield start, end, tag
        start = end
