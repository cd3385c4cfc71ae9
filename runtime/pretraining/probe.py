"""How well a model brings translations together: which held-out rows find theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.kinds.retrieval import top1
from runtime.pretraining.texts import Texts, translated
from runtime.vectors import Encoder


def alignment(
    texts: Texts, encoder: Encoder, names: Sequence[str], languages: int
) -> dict[str, dict[str, Any]]:
    """Return retrieval among the held-out rows of each parallel corpus, by its name.

    The share (0 to 100) of rows whose nearest one in the other language is their translation, the
    mean of both directions, between English (the first language where there is none) and some
    others. Rows of one family of sentences may be on both sides of the split: it says whether
    languages meet, not how the model would do on new texts.
    """
    found = {}
    for corpus, documents in texts.held.items():
        known = list(dict.fromkeys(x for rows in documents.values() for x in rows))
        if len(known) < 2:
            continue
        pivot = "en" if "en" in known else known[0]
        others = [language for language in known if language != pivot][:languages]
        scores = {}
        sizes = {}
        for language in others:
            both = translated(documents, pivot, language)
            if len(both) < 2:
                continue
            sides = [
                encoder.every_layer([texts.examples.input_ids[pair[side]] for pair in both])[-1]
                for side in (1, 0)
            ]
            scores[language] = round(top1(*sides)["top1_both"], 2)
            sizes[language] = len(both)
        if scores:
            found[names[corpus]] = {
                "pivot": pivot,
                "rows": max(sizes.values()),
                "mean": round(sum(scores.values()) / len(scores), 2),
                "chance": round(sum(100 / n for n in sizes.values()) / len(sizes), 2),
                "languages": scores,
            }
    return found
