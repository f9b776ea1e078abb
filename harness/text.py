"""Text to arrays without torch: WordPiece vocabularies, tokenizer files, and the encoder that token students share.

An artifact that uses this encoder has `tokenizer.json` and `encoder.json` beside its weights.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from harness.errors import AssetError, StageError
from harness.heads.token import stretches
from harness.specs import Encoded, Head

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LARGEST = 128 << 20  # bytes of a tokenizer; those of 250,000 tokens have 17 MiB
SETTINGS = "encoder.json"
DOC_STRIDE = 128  # tokens, as in the usual fine-tuning on SQuAD
_PADDING = ("[PAD]", "<pad>")
_UNKNOWN = ("[UNK]", "<unk>")
_ALPHABET = 1000  # characters; rarer ones become the unknown token


class TokenIds(NamedTuple):
    """The ids that the training loop must know to drop tokens."""

    unknown: int
    special: tuple[int, ...]


class TokenizerEncoder:
    """A `harness.Encoder` over one tokenizer, cut at `max_length`.

    `input_ids` and `attention_mask`; `token_type_ids` where `pad` has them. Sequence head: a text is one window. Token
    heads: words are one window, or as many as they need, neighbours sharing half of a window. Span head: (question,
    context) is as many windows as the context needs, neighbours sharing `doc_stride` tokens; a question takes half a
    window at most, what is longer is cut off.
    """

    def __init__(
        self, tokenizer: Tokenizer, pad: Mapping[str, int], max_length: int, unknown: int, doc_stride: int = DOC_STRIDE
    ) -> None:
        self.pad = dict(pad)
        self._unknown = unknown
        self._tokenizer = tokenizer
        self._max_length, self._doc_stride = max_length, doc_stride
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self._frame: Frame | None = None
        self._edges: tuple[np.ndarray, np.ndarray] | None = None

    def encode(self, inputs: Sequence[Any], head: Head) -> list[Encoded]:
        """Texts, words, or pairs for the span head → windows of 1 to max_length ids; no token is the unknown one."""
        if head == "sequence":
            return [self._text(item) for item in self._tokenizer.encode_batch(list(inputs))]
        if head == "span":
            return self._pairs(inputs)
        if head in ("token", "nested-token"):
            return self._words(inputs)
        msg = f"this encoder reads texts, words and pairs; it knows no head '{head}'"
        raise StageError(msg)

    def _words(self, inputs: Sequence[Sequence[str]]) -> list[Encoded]:
        self._tokenizer.no_truncation()
        try:
            edges = self._edges = self._edges or read_edges(self._tokenizer)
            room = self._max_length - sum(map(len, edges))
            if room < 1:
                msg = f"max_length = {self._max_length} has no room for a word between special tokens"
                raise StageError(msg)
            encodings = self._plain([" ".join(words) for words in inputs])
        finally:
            self._tokenizer.enable_truncation(self._max_length)
        return [
            window
            for example, (words, encoding) in enumerate(zip(inputs, encodings, strict=True))
            for window in self._cut(_Tokens.of(encoding, words, self._unknown), edges, room, example)
        ]

    def _cut(self, tokens: _Tokens, edges: tuple[np.ndarray, np.ndarray], room: int, example: int) -> Iterator[Encoded]:
        """One window for a text that fits; an empty text is one window without a word."""
        words = len(tokens.starts) - 1
        short = tokens.starts[-1] <= room
        bounds = [(0, words, 0, words)] if short else stretches(np.diff(tokens.starts).tolist(), room)
        for first, last, own, own_end in bounds:
            if words and own == own_end:
                continue  # between long words: nothing is answered for there
            begin, end = int(tokens.starts[first]), int(tokens.starts[last])
            ids = np.concatenate([edges[0], tokens.ids[begin : min(end, begin + room)], edges[1]])
            if not len(ids):
                ids = np.array([self._unknown], dtype=np.int64)
            places = np.full(len(ids), -1, dtype=np.int32)
            places[tokens.starts[own:own_end] - begin + len(edges[0])] = np.arange(own, own_end)
            arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            yield Encoded(arrays, len(ids), example, places, cut=end - begin > room)

    def _text(self, encoding: Any) -> Encoded:
        array = np.array(encoding.ids or [self._unknown], dtype=np.int64)
        arrays = {"input_ids": array, "attention_mask": np.ones_like(array)}
        return Encoded(arrays, len(array), cut=bool(encoding.overflowing))

    def _pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        self._tokenizer.no_truncation()
        try:
            frame = self._frame = self._frame or read_frame(self._tokenizer)
            questions = [item.ids for item in self._plain([question for question, _ in pairs])]
            texts = list(dict.fromkeys(context for _, context in pairs))  # questions about one context share its tokens
            contexts = {text: _placed(text, item) for text, item in zip(texts, self._plain(texts), strict=True)}
        finally:
            self._tokenizer.enable_truncation(self._max_length)
        return [
            self._window(frame, question, *window, example)
            for example, (question, (_, text)) in enumerate(zip(questions, pairs, strict=True))
            for window in self._windows(len(question), *contexts[text], frame.size)
        ]

    def _plain(self, texts: Sequence[str]) -> list[Any]:
        return list(self._tokenizer.encode_batch(texts, add_special_tokens=False))

    def _windows(self, question: int, ids: np.ndarray, places: np.ndarray, frame: int) -> Iterator[_Stretch]:
        """Stretches of a context's tokens, from its start to its end, each as long as there is room for."""
        room = self._max_length - frame - min(question, self._max_length // 2)
        if room < 1:
            msg = f"max_length = {self._max_length} has no room for a question, a context and {frame} special tokens"
            raise StageError(msg)
        step = room - min(self._doc_stride, room // 2)
        for start in range(0, max(1, len(ids) - room + step), step):
            yield ids[start : start + room], places[start : start + room]

    def _window(self, frame: Frame, question: list[int], ids: np.ndarray, places: np.ndarray, example: int) -> Encoded:
        first = np.array(question[: self._max_length // 2], dtype=np.int64)
        parts = (frame.before, first, frame.between, ids, frame.after)
        types = np.repeat(frame.types, [len(part) for part in parts])
        window = np.concatenate(parts)
        arrays = {"input_ids": window, "attention_mask": np.ones_like(window), "token_type_ids": types}
        where = np.full((len(window), 2), -1, dtype=np.int32)
        start = len(frame.before) + len(first) + len(frame.between)
        where[start : start + len(ids)] = places
        cut = len(question) > len(first)
        return Encoded({name: arrays[name] for name in self.pad}, len(window), example, where, cut)


class _Tokens(NamedTuple):
    """The tokens of a text's words, one after the other."""

    ids: np.ndarray  # int64 [T]
    starts: np.ndarray  # int64 [words + 1]: where each word's tokens begin, and T

    @classmethod
    def of(cls, encoding: Any, words: Sequence[str], unknown: int) -> _Tokens:
        """Of words joined by spaces; a word that the tokenizer makes nothing of is one unknown token."""
        ids, count = np.array(encoding.ids, dtype=np.int64), len(words)
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        ends = np.cumsum(lengths + 1) - 1  # of words, in the text
        last = np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 1] - 1  # a token may begin with the space
        of = np.minimum(np.searchsorted(ends, last, side="right"), count - 1)
        counts = np.bincount(of, minlength=count) if count else np.zeros(0, dtype=np.int64)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            ids = np.insert(ids, np.searchsorted(of, empty), unknown)
            counts = np.maximum(counts, 1)
        return cls(ids, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def read_edges(tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """The special ids that a tokenizer sets before and after one text, learned from an encoded one."""
    single = tokenizer.encode("a")
    of = np.array([text is not None for text in single.sequence_ids])
    ids, inside = np.array(single.ids, dtype=np.int64), np.flatnonzero(of)
    if not len(inside):
        msg = "the tokenizer makes no token of the text 'a'; it cannot be used for words"
        raise AssetError(msg)
    return ids[: inside[0]], ids[inside[-1] + 1 :]


_Stretch = tuple[np.ndarray, np.ndarray]  # ids int64 [n], places int32 [n, 2]


class Frame(NamedTuple):
    """What a tokenizer puts around a pair: special ids before, between and after; the token type of each of 5 parts."""

    before: np.ndarray
    between: np.ndarray
    after: np.ndarray
    types: np.ndarray  # int64 [5]: before, first text, between, second text, after

    @property
    def size(self) -> int:
        """How many special tokens a window has."""
        return len(self.before) + len(self.between) + len(self.after)


def read_frame(tokenizer: Tokenizer) -> Frame:
    """Learn the frame from an encoded pair. AssetError when nothing stands before the first text: no null position."""
    pair = tokenizer.encode("a", "a")
    of = np.array([-1 if text is None else text for text in pair.sequence_ids])  # -1: special
    first, second = np.flatnonzero(of == 0), np.flatnonzero(of == 1)
    if not len(first) or not len(second) or first[0] == 0:
        msg = "the tokenizer sets no special token before a pair of texts; a span head needs one for 'no answer here'"
        raise AssetError(msg)
    ids, types = np.array(pair.ids, dtype=np.int64), np.array(pair.type_ids, dtype=np.int64)
    between, after = slice(first[-1] + 1, second[0]), slice(second[-1] + 1, None)
    ends = types[between][-1:] if len(types[between]) else types[first[:1]], types[after][-1:]
    kinds = np.concatenate([types[:1], types[first[:1]], ends[0], types[second[:1]], ends[1]])
    return Frame(ids[: first[0]], ids[between], ids[after], np.resize(kinds, 5))


def _placed(text: str, encoding: Any) -> _Stretch:
    """Ids and places of a text's tokens, [n] and [n, 2]: without spaces at their edges, (-1, -1) for an empty token."""
    ids = np.array(encoding.ids, dtype=np.int64)
    places = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
    space = np.fromiter(map(str.isspace, text), dtype=bool, count=len(text))
    for row in np.flatnonzero((places[:, 1] > places[:, 0]) & space[np.minimum(places[:, 0], len(text) - 1)]):
        begin, end = places[row]
        places[row, 0] = begin + np.argmin([*space[begin:end], False])
    places[places[:, 0] >= places[:, 1]] = -1
    return ids, places


def train_wordpiece(texts: Iterable[str], vocab_size: int, lowercase: bool = True) -> Tokenizer:
    """WordPiece on the given texts; й and ё stay themselves. The same texts give the same ids in every process.

    The trainer of `tokenizers` numbers continuing characters in the order of a hash map, which decides ties between
    merges later; here the alphabet is counted and numbered first.
    """
    corpus = list(texts)
    tokenizer = _wordpiece({token: at for at, token in enumerate(SPECIAL)}, lowercase, strip_accents=False)
    first, inner = _characters(corpus, tokenizer)
    alphabet = sorted(sorted(first, key=lambda character: (-first[character], character))[:_ALPHABET])
    continuing = [f"##{character}" for character in alphabet if character in inner]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[*SPECIAL, *alphabet, *continuing],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return _wordpiece(tokenizer.get_vocab(with_added_tokens=False), lowercase, strip_accents=False)


def _characters(corpus: Iterable[str], tokenizer: Tokenizer) -> tuple[Counter[str], set[str]]:
    """How often each character occurs, and which ones occur inside a word."""
    words: Counter[str] = Counter()
    for text in corpus:
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        words.update(word for word, _ in pieces)
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts, {character for word in words for character in word[1:]}


def _wordpiece(vocab: dict[str, int], lowercase: bool, strip_accents: bool | None, chinese: bool = True) -> Tokenizer:
    """BERT's pipeline: normalise, split at spaces and punctuation, cut into longest pieces, [CLS] … [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=SPECIAL[1], max_input_chars_per_word=100))
    bert = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    tokenizer.normalizer = bert if strip_accents is not False else normalizers.Sequence([normalizers.NFC(), bert])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL if token in vocab])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def read_tokenizer(path: Path, lowercase: bool = True) -> Tokenizer:
    """`tokenizer.json` or `vocab.txt`, or a folder with one of them (the former wins).

    A `vocab.txt` is read as BERT's, with the settings of the `tokenizer_config.json` beside it; without one,
    `lowercase` decides and accents are kept. AssetError when there is none or it cannot be read.
    """
    found = [path] if path.is_file() else [path / name for name in ("tokenizer.json", "vocab.txt")]
    file = next((candidate for candidate in found if candidate.is_file()), None)
    if file is None:
        msg = f"{path}: no tokenizer there; a folder with tokenizer.json or vocab.txt, or such a file, is needed"
        raise AssetError(msg)
    if (size := file.stat().st_size) > LARGEST:
        msg = f"{file}: not a tokenizer ({size >> 20} MiB, at most {LARGEST >> 20})"
        raise AssetError(msg)
    try:
        tokenizer = Tokenizer.from_file(str(file)) if file.suffix == ".json" else _from_vocab(file, lowercase)
        tokenizer.encode("a b? ☃")  # what is wrong with its parts is said when they first meet a text
        _check_ids(tokenizer)
        return tokenizer
    except AssetError:
        raise
    except BaseException as error:  # tokenizers raises bare Exception, and PanicException, which is none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        msg = f"{file}: not a tokenizer ({error})"
        raise AssetError(msg) from error


def _check_ids(tokenizer: Tokenizer) -> None:
    """ValueError where tokens share an id: a tokenizer is stored by ids, and would come back as another one."""
    ids = Counter(tokenizer.get_vocab(with_added_tokens=False).values())
    if shared := [at for at, tokens in ids.items() if tokens > 1]:
        msg = f"{ids[shared[0]]} tokens have the id {shared[0]}"
        raise ValueError(msg)


def _from_vocab(file: Path, lowercase: bool) -> Tokenizer:
    vocab = {token: at for at, token in enumerate(file.read_text(encoding="utf-8").splitlines())}
    missing = [token for token in SPECIAL[:4] if token not in vocab]
    if missing:
        msg = f"{file}: a BERT vocabulary has one token a line, among them {', '.join(SPECIAL[:4])}; missing: {missing}"
        raise AssetError(msg)
    beside = file.with_name("tokenizer_config.json")
    if not beside.is_file():
        return _wordpiece(vocab, lowercase, strip_accents=False)
    config = json.loads(beside.read_text(encoding="utf-8"))
    chinese = config.get("tokenize_chinese_chars", True)
    return _wordpiece(vocab, config.get("do_lower_case", True), config.get("strip_accents"), chinese)


def save_encoder(
    folder: Path,
    tokenizer: Tokenizer,
    max_length: int,
    pad_id: int | None = None,
    *,
    doc_stride: int = DOC_STRIDE,
    token_types: bool = False,
) -> None:
    """Write `tokenizer.json` and `encoder.json`. `pad_id`: what the model's config says, where it says something.

    `token_types`: the model tells the texts of a pair apart by `token_type_ids`. AssetError when the tokenizer has no
    padding or no unknown token.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    pad = {"input_ids": padding_id(tokenizer) if pad_id is None else pad_id, "attention_mask": 0}
    settings = {
        "max_length": max_length,
        "pad": {**pad, "token_type_ids": 0} if token_types else pad,
        "unknown": _token_id(tokenizer, _UNKNOWN, "unknown"),
        "special": sorted(at for at, token in tokenizer.get_added_tokens_decoder().items() if token.special),
        **({} if doc_stride == DOC_STRIDE else {"doc_stride": doc_stride}),
    }
    (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


def load_encoder(folder: Path) -> TokenizerEncoder:
    """The encoder of an artifact folder. StageError when its files are missing or broken."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        stride = settings.get("doc_stride", DOC_STRIDE)
        return TokenizerEncoder(tokenizer, settings["pad"], settings["max_length"], settings["unknown"], stride)
    except Exception as error:  # tokenizers raises bare Exception
        msg = f"{folder}: the encoder cannot be loaded ({error})"
        raise StageError(msg) from error


def read_token_ids(folder: Path) -> TokenIds | None:
    """From the `encoder.json` of an artifact; None when its encoder writes no such file."""
    file = folder / SETTINGS
    if not file.is_file():
        return None
    settings = json.loads(file.read_text(encoding="utf-8"))
    return TokenIds(settings["unknown"], tuple(settings["special"]))


def padding_id(tokenizer: Tokenizer) -> int:
    """The id that fills up a batch. AssetError when the tokenizer has none of the usual names for it."""
    return _token_id(tokenizer, _PADDING, "padding")


def _token_id(tokenizer: Tokenizer, names: Sequence[str], what: str) -> int:
    for name in names:
        at = tokenizer.token_to_id(name)
        if at is not None:
            return int(at)
    msg = f"the tokenizer has no {what} token (looked for {', '.join(names)})"
    raise AssetError(msg)
