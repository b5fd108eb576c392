"""Text to train on: read, cut into tokens by a tokenizer trained on it, and packed into rows of equal length.

A document starts and ends with the token END, and is cut into pieces of at most the context's length. A row has whole
pieces, best-fit, each with its own positions from 0, so that attention stays inside a piece ("Fewer Truncations
Improve Language Modeling", Ding et al. 2024). What is left of a row is padding, which is not learned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inhouse.errors import InputError

END, START_TURN, END_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)  # ChatML
SUFFIXES = (".txt", ".md", ".jsonl")
IGNORED = -100  # a label that does not count
Ids = Any  # an array of integers: token ids, labels, positions, or lengths


def read_texts(paths: Sequence[Path]) -> list[str]:
    """The documents of files and folders.

    Raises:
        InputError: there is no such file, it is not UTF-8, or a line of it is not JSON with a text.
    """
    texts: list[str] = []
    for path in text_files(paths):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
        texts += _lines(path, text) if path.suffix == ".jsonl" else [text]
    return texts


def text_files(paths: Sequence[Path]) -> list[Path]:
    """The files of `[scratch] text`, those of folders in the order of their names.

    Raises:
        InputError: there is none.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES) if path.is_dir() else [path]
        if not inside or not all(f.is_file() for f in inside) or inside[0].suffix not in SUFFIXES:
            hint = f"scratch.text names files ({', '.join(SUFFIXES)}), or folders with such files"
            raise InputError(f"{path}: no text to train on", hint)
        found += inside
    return found


def _lines(path: Path, text: str) -> list[str]:
    texts = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
                texts.append(row["text"])
                if not isinstance(row["text"], str):
                    raise TypeError
            except (ValueError, KeyError, TypeError) as error:
                hint = 'write one object a line, such as {"text": "..."}'
                raise InputError(f"{path}:{number}: not an object with a field text", hint) from error
    return texts


def divide(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """The texts to train on, and at least `share` of their length that is held out, by whole documents.

    Raises:
        InputError: there are fewer than two.
    """
    import numpy as np

    texts = sorted({t for t in texts if t.strip()})  # whatever the order of the files, and each text once
    if len(texts) < 2:
        raise InputError("training from scratch needs at least two documents", "add documents, or set scratch.text")
    order = np.random.default_rng(seed).permutation(len(texts))
    wanted, held = share * sum(len(t) for t in texts), 0
    count = 0
    while held < wanted and count < len(texts) - 1:
        held += len(texts[order[count]])
        count += 1
    return [texts[n] for n in order[count:]], [texts[n] for n in order[:count]]


def train_tokenizer(texts: Sequence[str], size: int) -> Any:
    """A `tokenizers.Tokenizer`: byte-level BPE, digits one by one, as SmolLM2 has them.

    Every text can be written in its tokens and read back as it was.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=[END, START_TURN, END_TURN], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Writes it as Hugging Face has it, with the chat template."""
    from transformers import PreTrainedTokenizerFast

    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END_TURN, pad_token=END, clean_up_tokenization_spaces=False
    )
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)


def encode(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """The ids of each text, after END; markers that are written in a text are text."""
    import numpy as np

    start = tokenizer.token_to_id(END)
    tokenizer.encode_special_tokens = True
    try:
        coded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    finally:
        tokenizer.encode_special_tokens = False
    return [np.array([start, *c.ids], dtype=np.int32) for c in coded]


def token_bytes(tokenizer: Any) -> Ids:
    """How many bytes of text each token stands for: a character of its name each; none for markers."""
    import numpy as np

    lengths = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    for word, at in tokenizer.get_vocab().items():
        lengths[at] = 0 if word in (END, START_TURN, END_TURN) else len(word)
    return lengths


@dataclass(frozen=True)
class Rows:
    """Rows of tokens, each of shape (rows, length): `ids`, what follows each (`labels`), and `positions`."""

    ids: Ids
    labels: Ids
    positions: Ids

    def __len__(self) -> int:
        return len(self.ids)


def windows(ids: Ids, length: int, first: int = 0) -> Iterator[tuple[Ids, Ids]]:
    """Pieces of a document and what follows each of their tokens; every token but the first is predicted once.

    Args:
        ids: of the document.
        length: the most of a piece.
        first: the length of the first piece; 0 means `length`.
    """
    at, size = 0, first or length
    while at < len(ids) - 1:
        end = min(at + size, len(ids) - 1)
        yield ids[at:end], ids[at + 1 : end + 1]
        at, size = end, length


def pack(pieces: Sequence[tuple[Ids, Ids]], length: int, padding: int) -> Rows:
    """Puts pieces into rows, the longest first, each into the row with the least room that it fits in."""
    import numpy as np

    room: list[list[int]] = [[] for _ in range(length + 1)]  # rows by what is left of them
    open_rooms = 0  # bit n is set where a row has room for n
    rows: list[list[int]] = []
    for at in sorted(range(len(pieces)), key=lambda n: -len(pieces[n][0])):
        size = len(pieces[at][0])
        fitting = open_rooms >> size
        if fitting:
            left = size + (fitting & -fitting).bit_length() - 1
            row = room[left].pop()
            if not room[left]:
                open_rooms &= ~(1 << left)
        else:
            left, row = length, len(rows)
            rows.append([])
        rows[row].append(at)
        if left > size:
            room[left - size].append(row)
            open_rooms |= 1 << (left - size)
    ids = np.full((len(rows), length), padding, dtype=np.int64)
    labels = np.full((len(rows), length), IGNORED, dtype=np.int64)
    positions = np.zeros((len(rows), length), dtype=np.int64)
    for n, members in enumerate(rows):
        at = 0
        for member in members:
            given, following = pieces[member]
            end = at + len(given)
            ids[n, at:end], labels[n, at:end], positions[n, at:end] = given, following, np.arange(len(given))
            at = end
        positions[n, at:] = np.arange(length - at)
    return Rows(ids, labels, positions)


def epoch_rows(documents: Sequence[Ids], length: int, end: int, seed: int, epoch: int) -> Rows:
    """The rows of one pass in their order. Long documents are cut elsewhere in each pass, so that every token has
    different ones before it; the same seed and epoch give the same rows."""
    import numpy as np

    random = np.random.default_rng([seed, epoch])
    pieces: list[tuple[Ids, Ids]] = []
    for ids in documents:
        whole = np.append(ids, end)
        first = int(random.integers(1, length + 1)) if len(whole) - 1 > length else 0
        pieces += windows(whole, length, first)
    rows = pack(pieces, length, end)
    order = random.permutation(len(rows))
    return Rows(rows.ids[order], rows.labels[order], rows.positions[order])
