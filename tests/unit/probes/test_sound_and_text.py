"""Files of sound as windows, lines and columns of text as ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyzer.errors import ProbeError
from analyzer.facts.audio_options import AudioOptions
from analyzer.facts.image_options import ImageOptions
from analyzer.facts.text_options import TextOptions
from analyzer.graph.view import TensorType
from analyzer.probes.probe import Probe, open_probe

FLOAT, INT = np.dtype(np.float32), np.dtype(np.int64)
RNG = np.random.default_rng(0)
SOUND = (RNG.integers(-3000, 3000, (100, 2)) / 2**15).astype(np.float32)


def waves(*shape: int | str | None, dtype: Any = FLOAT) -> dict[str, TensorType]:
    return {"wave": TensorType(np.dtype(dtype), shape)}


def recorded(folder: Path, name: str, sound: Any = SOUND, rate: int = 8000) -> Path:
    pytest.importorskip("soundfile").write(folder / name, sound, rate)
    return folder / name


def values(probe: Probe, name: str) -> Any:
    return [batch.feeds[name] for batch in probe.batches(64)]


def refusal(data: Any, inputs: dict[str, TensorType], **options: Any) -> str:
    with pytest.raises(ProbeError) as caught:
        list(open_probe(data, inputs, **options).batches(8))
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_sound_is_cut_into_windows_of_the_length_that_the_model_takes(suffix: str, tmp_path: Path) -> None:
    recorded(tmp_path, f"a.{suffix}")
    recorded(tmp_path, f"b.{suffix}", SOUND[:33])
    mono = SOUND.mean(axis=1)
    probe = open_probe(tmp_path, waves("batch", 32))
    assert probe.samples == 4
    expected = np.stack([mono[:32], mono[32:64], mono[64:96], mono[:32]])
    assert np.array_equal(np.concatenate(values(probe, "wave")), expected)
    assert probe.preprocessing == {"rate": "8000 Hz", "window": "32 samples of sound", "channels": "mono"}
    assert open_probe({"wave": expected}, waves("batch", 32)).fingerprint == probe.fingerprint
    blocks = probe.blocks(2, 2, lambda block: block == 1)
    assert [b.feeds["wave"].tolist() for block in blocks for b in block.batches] == [expected[2:].tolist()]


def test_layouts_and_whole_numbers(tmp_path: Path) -> None:
    file = recorded(tmp_path, "a.wav")
    (stereo,) = values(open_probe(file, waves("batch", 2, 50)), "wave")
    assert np.array_equal(stereo, SOUND.reshape(2, 50, 2).transpose(0, 2, 1))
    (last,) = values(open_probe(file, waves("batch", 50, 2)), "wave")
    assert np.array_equal(last, SOUND.reshape(2, 50, 2))
    (numbers,) = values(open_probe(file, waves("batch", 2, 100, dtype=np.int16)), "wave")
    assert np.array_equal(numbers[0].T, SOUND * 2**15)
    (whole,) = values(open_probe(file, waves("batch", "time")), "wave")
    assert whole.shape == (1, 100)
    (cut,) = values(open_probe(file, waves("batch", "time"), audio=AudioOptions(window=25)), "wave")
    assert cut.shape == (4, 25)


def test_sound_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    file, wave = recorded(tmp_path, "a.wav"), waves("batch", 32)
    assert "has 8000 samples a second, not 16000" in refusal(file, wave, audio=AudioOptions(rate=16000))
    assert "has 100 samples of sound, less than one window" in refusal(file, waves("batch", 101))
    assert "takes 32 samples of sound" in refusal(file, wave, audio=AudioOptions(window=16))
    assert "has 2 channels, but the model takes 3" in refusal(file, waves("batch", 3, 20))
    assert "is not of a shape and type that sound has" in refusal(file, waves("batch", 3, 20, 20))
    assert "Sound fits a model with one input" in refusal(file, wave | {"rate": TensorType(INT, ())})
    assert "Image options were given" in refusal(file, wave, images=ImageOptions())
    recorded(tmp_path, "b.wav", rate=11025)
    assert "b.wav has 11025 samples a second, not 8000" in refusal(tmp_path, wave)
    probe = open_probe(tmp_path, wave, max_bad=9)
    assert len(np.concatenate(values(probe, "wave"))) == 3
    assert [*probe.skipped] == ["b.wav"]
    content = file.read_bytes()
    file.write_bytes(content[:120])
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    assert "of sound" in refusal(file, wave)
    assert "b.wav is not a readable file of sound or is truncated" in refusal(tmp_path / "b.wav", wave)
    with pytest.raises(ProbeError, match="window is 0"):
        AudioOptions(window=0)


WORDS = {"[UNK]": 0, "[PAD]": 1, "a": 2, "b": 3, "c": 4}
TEXTS = ["a b c", "", "b", "a a a a a", "nothing of it"]
BERT = {
    "input_ids": TensorType(INT, ("batch", "tokens")),
    "attention_mask": TensorType(INT, ("batch", "tokens")),
    "token_type_ids": TensorType(INT, ("batch", "tokens")),
}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    made = pytest.importorskip("tokenizers")
    words = made.Tokenizer(made.models.WordLevel(WORDS, unk_token="[UNK]"))
    words.pre_tokenizer = made.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    (tmp_path / "p.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    return tmp_path / "p.txt"


def test_lines_of_text_become_ids_by_the_names_of_the_inputs(tokenizer: Path, lines: Path) -> None:
    probe = open_probe(lines, BERT, texts=TextOptions(tokenizer, max_length=4))
    (batch,) = probe.batches(8)
    ids = [[2, 3, 4, 1], [3, 1, 1, 1], [2, 2, 2, 2], [0, 0, 0, 1]]
    assert {n: a.tolist() for n, a in batch.feeds.items()} == {
        "input_ids": ids,
        "attention_mask": [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]],
        "token_type_ids": [[0] * 4] * 4,
    }
    assert probe.preprocessing == {"tokenizer": "tokenizer.json", "tokens": "4"}
    fixed = {"ids": TensorType(INT, ("batch", 4))}
    assert values(open_probe(lines, fixed, texts=TextOptions(tokenizer)), "ids")[0].tolist() == ids
    free = {"ids": TensorType(INT, ("batch", "tokens"))}
    assert [a.tolist() for a in values(open_probe(lines, free, texts=TextOptions(tokenizer)), "ids")] == [
        [[2, 3, 4]],
        [[3]],
        [[2, 2, 2, 2, 2]],
        [[0, 0, 0]],
    ]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_a_column_of_text(suffix: str, tokenizer: Path, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pa.table({"label": [1, 0], "text": ["a b", "c"]})
    write: Any = parquet.write_table if suffix == "parquet" else feather.write_feather
    write(table, tmp_path / f"p.{suffix}")
    probe = open_probe(tmp_path / f"p.{suffix}", BERT, texts=TextOptions(tokenizer, max_length=2))
    assert values(probe, "input_ids")[0].tolist() == [[2, 3], [4, 1]]
    assert [label.name for label in probe.labels] == ["label"]


def test_text_that_does_not_fit_is_refused(tokenizer: Path, lines: Path, tmp_path: Path) -> None:
    fixed = {"ids": TensorType(INT, ("batch", 4))}
    assert "no image file a b c" in refusal(lines, fixed)  # a list of images, unless a tokenizer is named
    assert "takes 4 tokens" in refusal(lines, fixed, texts=TextOptions(tokenizer, max_length=5))
    odd = {"ids": fixed["ids"], "scores": TensorType(FLOAT, ("batch", 4))}
    assert "not to be seen from their names" in refusal(lines, odd, texts=TextOptions(tokenizer))
    flat = {"ids": TensorType(INT, ("batch", 4, 4))}
    assert "they take no text" in refusal(lines, flat, texts=TextOptions(tokenizer))
    np.savez(tmp_path / "p.npz", ids=np.ones((1, 4), np.int64))
    assert "Text options were given" in refusal(tmp_path / "p.npz", fixed, texts=TextOptions(tokenizer))
    lines.write_bytes(b"a\n\xff\xfe\nb\n")
    assert "p.txt: line 2 is not UTF-8 text" in refusal(lines, fixed, texts=TextOptions(tokenizer))
    probe = open_probe(lines, fixed, texts=TextOptions(tokenizer), max_bad=9)
    assert sum(len(a) for a in values(probe, "ids")) == 2
    for content in ("", "{}", "[1", json.dumps({"model": {"type": "none"}})):
        tokenizer.write_text(content)
        assert "is no tokenizer.json that can be used" in refusal(lines, fixed, texts=TextOptions(tokenizer))
    assert "cannot be read" in refusal(lines, fixed, texts=TextOptions(tmp_path / "none.json"))


def test_a_length_that_leaves_no_room_is_refused(tokenizer: Path, lines: Path) -> None:
    free = {"ids": TensorType(INT, ("batch", "tokens"))}
    said = refusal(lines, free, texts=TextOptions(tokenizer, max_length=1 << 40))
    assert said.startswith(f"A text of {1 << 40} tokens takes ")
