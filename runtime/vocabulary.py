"""Trains a tokenizer on texts: unigram or BPE, the same bytes from the same texts."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from runtime.corpora import Group, shares
from runtime.invalid import DataInvalid

BLANK = "▁"
"""What stands for a blank inside tokens, as in SentencePiece."""

THREADS = 4
"""Of SentencePiece, on whatever machine: its sums depend on how many there are."""

LONGEST = 1 << 24
"""Bytes of a text; SentencePiece would leave out longer ones without a word."""


def trained(texts: Sequence[str], identity: Mapping[str, Any]) -> Any:
    """Return a fast tokenizer of Transformers, trained as a stage's identity says.

    The trainer of unigram models in `tokenizers` sums and breaks ties in the order of a hash table
    that differs from run to run, so that part is SentencePiece's. Raises DataInvalid when the
    vocabulary cannot hold the characters of the texts.
    """
    special = [tuple(pair) for pair in identity["special"]]
    size = int(identity["vocabulary"])
    normalizer = _normalizer(identity["normalisation"])
    clean = [normalizer.normalize_str(text) for text in texts]
    kept = characters(clean, float(identity["coverage"]))
    room = size - len(special)
    seen = kept - {" "}
    if len(seen | {BLANK}) > room:
        raise DataInvalid(
            f"the texts have {len(seen):,} characters, and a `vocabulary` of {size:,} has room for "
            f"{room - 1:,}: give the tokenizer a larger one"
        )
    if len(kept) < len(set().union(*clean)):
        clean = [_without_rare(text, kept) for text in clean]
    names = [token for _, token in special]
    unknown = dict(special)["unk"]
    if identity["algorithm"] == "unigram":
        scores = [(name, 0.0) for name in names] + _unigram(clean, room)
        backend = Tokenizer(models.Unigram(scores, names.index(unknown), byte_fallback=False))
        backend.pre_tokenizer = _words()
    else:
        backend = Tokenizer(models.BPE(unk_token=unknown, fuse_unk=True))
        backend.pre_tokenizer = _words()
        trainer = BpeTrainer(vocab_size=size, special_tokens=names, show_progress=False)
        backend.train_from_iterator(clean, trainer)
    backend.normalizer = normalizer
    backend.decoder = decoders.Metaspace(replacement=BLANK, prepend_scheme="always")
    backend.post_processor = _framed(dict(special), names)
    return _fast(backend, dict(special))


def sampled(
    texts: Mapping[Group, Sequence[str]], exponents: Sequence[float]
) -> dict[Group, list[str]]:
    """Return as many texts as there are, languages by their exponent, so some more than once.

    Which texts stand in for a language that is read in part is drawn, and always the same ones.
    """
    sizes = {group: len(rows) for group, rows in texts.items()}
    wanted = shares(sizes, exponents)
    found = {}
    for (corpus, language), rows in texts.items():
        share = wanted.get((corpus, language), 0.0) * sum(sizes.values())
        whole, rest = divmod(round(share), max(1, len(rows)))
        draw = np.random.default_rng([corpus, *language.encode()])
        more = [rows[place] for place in draw.permutation(len(rows))[:rest]]
        found[corpus, language] = [*(list(rows) * whole), *more]
    return found


def characters(texts: Iterable[str], coverage: float) -> set[str]:
    """Return the commonest characters, which make up a share of the text; blanks always."""
    counts = Counter(character for text in texts for character in text)
    enough, seen, kept = coverage * counts.total(), 0, {" "}
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if seen >= enough:
            break
        kept.add(character)
        seen += count
    return kept


def _without_rare(text: str, kept: set[str]) -> str:
    return "".join(character if character in kept else " " for character in text)


def _unigram(texts: Sequence[str], size: int) -> list[tuple[str, float]]:
    """Return pieces and their log probabilities, at most ``size``, by SentencePiece's trainer."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="unigram",
        vocab_size=size + 1,  # its own unknown token, which we leave out
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=LONGEST,
        num_threads=THREADS,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    return [(read.id_to_piece(n), read.get_score(n)) for n in range(1, read.get_piece_size())]


def _normalizer(name: str) -> Any:
    """Return the declared Unicode form, and one blank for each run of white space."""
    forms = {"nfkc": normalizers.NFKC, "nfc": normalizers.NFC}
    blanks = normalizers.Replace(Regex(r"\s+"), " ")
    return normalizers.Sequence([forms[name](), blanks, normalizers.Strip()])


def _words() -> Any:
    return pre_tokenizers.Metaspace(replacement=BLANK, prepend_scheme="always")


def _framed(special: Mapping[str, str], names: Sequence[str]) -> Any:
    """Return what puts the special tokens around texts and pairs, as the type expects them.

    RoBERTa has two separators between the texts of a pair, BERT one.
    """
    first, last = special["cls"], special["sep"]
    between = last if first == "[CLS]" else f"{last} {last}"
    return processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {between} $B {last}",
        special_tokens=[(token, names.index(token)) for token in (first, last)],
    )


def _fast(backend: Any, special: Mapping[str, str]) -> Any:
    from transformers import PreTrainedTokenizerFast

    roles = {f"{role}_token": token for role, token in special.items()}
    if special["cls"] == "<s>":
        roles |= {"bos_token": special["cls"], "eos_token": special["sep"]}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)  # type: ignore[no-untyped-call]


def told(tokenizer: Any, texts: Mapping[Group, Sequence[str]]) -> Iterator[tuple[str, Any]]:
    """Yield for each language how many characters a token has, and the share of unknown tokens."""
    languages = dict.fromkeys(language for _, language in texts)
    for language in languages:
        own = [text for (_, x), rows in texts.items() if x == language for text in rows]
        encoded = tokenizer(own, add_special_tokens=False, return_attention_mask=False)
        ids = [number for row in encoded["input_ids"] for number in row]
        unknown = sum(number == tokenizer.unk_token_id for number in ids)
        yield (
            language,
            {
                "rows": len(own),
                "characters_per_token": round(sum(map(len, own)) / max(1, len(ids)), 3),
                "unknown_share": round(unknown / max(1, len(ids)), 6),
            },
        )
