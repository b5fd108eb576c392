"""Bytes to text: which encoding they are in, and a note wherever that was assumed.

A byte order mark decides, then valid UTF-8, then UTF-16 or UTF-32 without a mark. For older encodings, chardetng (the
detector of Firefox, made for texts of a few words) names the script. Between encodings of one script, which differ in a
few letters and signs, it knows neither those of the Mac and of DOS nor where a sign can stand, so each is tried: the
letters beyond ASCII must fit the alphabet of one language and the case of their word, and a sign its place (a currency
beside a number, an apostrophe after a letter). Windows-1252 is taken unless another one fits clearly better.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from inhouse.errors import InputError
from inhouse.text.language import identifier_of

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE_BYTES = 262_144
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_CONTROL_BYTES = bytes({*range(32), 127} - set(b"\t\n\r\x1b"))
_ESCAPES = {re.compile(rb"\x1b(?:\$[@B]|\([IJ])"): "iso2022_jp_ext", re.compile(rb"\x1b\$\)C"): "iso2022_kr"}
_CODECS = {  # chardetng's names, and the codec that knows all characters that programs write under the name
    "Shift_JIS": "cp932", "EUC-KR": "cp949", "GBK": "gb18030", "Big5": "big5hkscs", "windows-874": "cp874",
    "ISO-8859-8-I": "iso8859-8", "ISO-2022-JP": "iso2022_jp_ext",
}  # fmt: skip
_NAMES = {
    "cp1252": "Windows-1252", "cp932": "Shift-JIS", "cp949": "EUC-KR", "gb18030": "GB18030", "big5hkscs": "Big5",
    "euc-jp": "EUC-JP", "iso2022_jp_ext": "ISO-2022-JP", "iso2022_kr": "ISO-2022-KR", "iso8859-15": "ISO-8859-15",
    "mac-roman": "Mac Roman", "mac-cyrillic": "Mac Cyrillic", "cp850": "DOS code page 850", "cp874": "Windows-874",
    "cp852": "DOS code page 852", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32", "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "cp866": "DOS code page 866",
}  # fmt: skip
# By encoding, how much better than Windows-1252 it must fit, and the letters beyond ASCII of its languages, each in
# one string. A language that several encodings can write is listed under each of them.
_WESTERN = (
    "àâæçéèêëîïôœùûüÿ äöüß áéíñóúü ãáâàçéêíóôõú àèéìíîòóù éëïóöü äåö æøå áðéíóúýþæö àçèéíïóòúü áéíóú äöõüšž "
    "àáèéìíòóùú ëïöüéèê"
)
_LATIN = {
    "cp1252": (0.0, _WESTERN),
    "iso8859-15": (0.5, _WESTERN),
    "cp1250": (1.2, "ąćęłńóśźż áčďéěíňóřšťúůýž áéíóöőúüű áäčďéíĺľňóôŕšťúýž čšž čćđšž ăâîşţ ëç"),
    "iso8859-2": (1.3, "ąćęłńóśźż áčďéěíňóřšťúůýž áéíóöőúüű áäčďéíĺľňóôŕšťúýž čšž čćđšž ăâîşţ ëç"),
    "cp1254": (1.2, "çğıöşüâîûİ"),
    "cp1257": (0.9, "ąčęėįšųūž āčēģīķļņšūž äöõüšž"),
    "mac-roman": (1.2, _WESTERN),
    "cp850": (1.8, _WESTERN),
    "cp852": (2.2, "ąćęłńóśźż áčďéěíňóřšťúůýž áéíóöőúüű áäčďéíĺľňóôŕšťúýž čšž čćđšž"),
}
_WEST = frozenset(
    ("ca", "da", "de", "en", "es", "et", "eu", "fi", "fr", "ga", "gl", "is", "it", "nb", "nl", "nn", "no", "pt", "sv")
)
_CENTRAL = frozenset(("pl", "cs", "sk", "hu", "hr", "bs", "sl", "ro", "sq"))
_WEST_CODECS = ("cp1252", "iso8859-15", "mac-roman", "cp850")
_LANGUAGES = {
    **dict.fromkeys(_WEST_CODECS, _WEST),
    **dict.fromkeys(("cp1250", "iso8859-2", "cp852"), _CENTRAL),
    "cp1254": frozenset(("tr", "az")),
    "cp1257": frozenset(("lt", "lv", "et")),
}
_RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюяё"
_SLAVIC = (
    f"{_RUSSIAN} абвгґдеєжзиіїйклмнопрстуфхцчшщьюя абвгдђежзијклљмнњопрстћуфхцчџш абвгдежзіўйклмнопрстуфхцчшыьэюяё"
)
_CYRILLIC = {
    "cp1251": (0.0, _SLAVIC),
    "koi8-r": (0.5, _RUSSIAN),
    "koi8-u": (0.6, _SLAVIC),
    "iso8859-5": (0.8, _SLAVIC),
    "cp866": (0.8, _RUSSIAN),
    "mac-cyrillic": (1.0, _SLAVIC),
}
_SIBLINGS = {"cp1256": "iso8859-6", "cp1253": "iso8859-7", "cp1255": "iso8859-8"}
_LATIN_GUESSES = frozenset({*_LATIN, "windows-1258", "iso8859-4", "iso8859-10", "iso8859-13", "iso8859-14"})
_SIGNS = {  # a sign, and what may stand before and after it: a digit, a letter, space or punctuation
    **dict.fromkeys("€£¥", ("d s", "d s")), "°": ("d s", "ls"), "±": ("s", "d s"), "²": ("ld", "s"), "³": ("ld", "s"),
    **dict.fromkeys("½¼¾", ("d s", "ls")), "§": ("s", "d s"), "©": ("ls", "d s"), "®": ("ld", "s"), "™": ("ld", "s"),
    "–": ("d s", "d s"), "—": ("ls", "ls"), "•": ("s", "s l"), "…": ("lds", "lds"), "×": ("d s", "d s"),
    "’": ("lds", "lds"), "‘": ("s", "ld"), "“": ("s", "ld s"), "”": ("lds", "s"), "„": ("s", "ld"), "«": ("s", "lds"),
    "»": ("lds", "s"), "‚": ("s", "ld"), "‹": ("s", "ld"), "›": ("ld", "s"), "¿": ("s", "l"), "¡": ("s", "l"),
    "µ": ("d s", "l"), "‰": ("d s", "s"), "·": ("ls", "ls"), "º": ("ld", "s"), "ª": ("d", "s"), "†": ("lds", "s"),
    "\xa0": ("lds", "lds"), "\xad": ("l", "l"), "№": ("s", "d s"),
}  # fmt: skip
# A point without its letter, or a final letter inside a word: Cyrillic that was read as Hebrew has them.
_NO_HEBREW = re.compile("(?<![\u05b0-\u05ea])[\u05b0-\u05bd]|[\u05da\u05dd\u05df\u05e3\u05e5](?=[\u05d0-\u05ea])")
_WORDS = "àáäåæèéêíóôöøúýÀÁÅÈÉÍÓÖØÚавикосуяіАВИКОСУЯІ"  # letters that are words
# Frequent characters, by codec: short texts in two of them can be told apart by nothing else.
_FREQUENT = {
    "gb18030": (
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道"
        "行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实名称数量"
        "价格产品公司客户服务费电话址日期编号类型单位金额总计规备注姓性别合订支付账银保险商业间请问您收退换货题系"
        "统信息管标内容元"
    ),
    "big5hkscs": (
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道"
        "行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實名稱數量"
        "價格產品公司客戶服務費電話址日期編號類型單位金額總計規備註姓性別合約訂支付帳銀保險商業間請問您收退換貨題"
        "系統資訊管"
    ),
    "euc-jp": (
        "日一人年大十二本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千"
        "水半男西電校語土木聞食車何南万毎白天母火右読友左休父雨料表手数価格商品会社注文送住所番号件問合営業方法税"
        "込用申請等級別期限内容種類者給与契約口座振銀保険店員案利登録変更解支払求無有効場必要確認以未満株式御"
    ),
    "cp949": (
        "이다에의는로하을가고지서한은기으년대사시를리도인스일수료습니까안녕세요감합상품격름나전화주소송금원입해외"
        "문객계좌"
    ),
}
_FREQUENT["cp932"] = _FREQUENT["euc-jp"]
_MANY = 40  # characters beyond ASCII that are looked at in every trial


class NotText(InputError):
    """Bytes that are no text in any encoding; the message is the reason."""


def decode(data: bytes) -> tuple[str, str]:
    """The text of bytes, and a note that names an assumed encoding and counts what could not be decoded.

    The note is empty for text in UTF-8 and for text with a byte order mark.

    Raises:
        NotText: the bytes are not text.
    """
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "")
    sample = data[:SAMPLE_BYTES]
    controls = 0 if encoding else len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    if not encoding and b"\x1b" in sample and sample.isascii():
        escaped = next((name for escape, name in _ESCAPES.items() if escape.search(sample)), "")
        if escaped and _REPLACEMENT not in sample.decode(escaped, "replace"):
            return _read(data, escaped)
    if controls > len(sample) / 100 and (wide := _wide(sample)):
        return _read(data, wide)
    encoding = encoding or "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        return _read_broken(data, encoding, error)
    if controls or encoding != "utf-8":
        refuse_binary(text)
    return text, ""


def refuse_binary(text: str) -> None:
    """Raises NotText if the text has more control characters than any text has."""
    sample = text[:SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > max(4, len(sample) / 100):
        raise NotText("binary data, not text")


def _read(data: bytes, encoding: str) -> tuple[str, str]:
    """The text in an encoding that was guessed."""
    text = data.decode(encoding, "replace")
    refuse_binary(text)
    name = _NAMES.get(encoding, encoding.upper().replace("ISO8859", "ISO-8859"))
    name = re.sub(r"^CP(?=125)", "Windows-", name)
    return text, ", ".join(filter(None, (f"read as {name} (assumed)", _lost(text))))


def _lost(text: str) -> str:
    count = text.count(_REPLACEMENT)
    return f"{count} character{'s' * (count > 1)} could not be decoded" if count else ""


def _read_broken(data: bytes, encoding: str, error: UnicodeDecodeError) -> tuple[str, str]:
    """Text that is not valid in its encoding: UTF-8 with a few broken bytes, or an older encoding."""
    if not encoding.startswith("utf-8"):
        text = data.decode(encoding, "replace")
        refuse_binary(text)
        return text, _lost(text)
    body = data.removeprefix(codecs.BOM_UTF8)
    lenient = body[:SAMPLE_BYTES].decode("utf-8", "replace")
    foreign = sum(not character.isascii() for character in lenient)
    cut_off = error.reason == "unexpected end of data" and not body[: error.start].isascii()
    broken = lenient.count(_REPLACEMENT)
    few = 4 * broken < foreign or (3 * broken <= foreign and len(_scripts(lenient)) == 1)
    if not (few or cut_off):
        return _read(body, _older(body[:SAMPLE_BYTES]))
    lines, other = [], 0
    for line in body.splitlines(keepends=True):
        text = line.decode("utf-8", "replace")
        if _REPLACEMENT in text and text.replace(_REPLACEMENT, "").isascii() and not cut_off:
            text, other = line.decode(_older(line), "replace"), other + 1
        lines.append(text)
    text = "".join(lines)
    refuse_binary(text)
    mixed = f"{other} line{'s' * (other > 1)} not in UTF-8 (encoding assumed)" if other else ""
    return text, ", ".join(filter(None, (mixed, _lost(text))))


def _scripts(text: str) -> set[str]:
    """The scripts of the letters beyond ASCII: bytes of other encodings that look like UTF-8 have several."""
    return {unicodedata.name(c, "?").partition(" ")[0] for c in text if not c.isascii() and c.isalpha()}


def _wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a mark; "" if the bytes are neither."""
    best, found = 0.8, ""
    for encoding, width in (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2)):
        text = sample[: len(sample) // width * width].decode(encoding, "replace")
        if text and (fit := sum(map(_usual, text)) / len(text) + 1e-3 * width) > best:
            best, found = fit, encoding
    return found


@lru_cache(maxsize=4096)
def _usual(character: str) -> float:
    """How common a character is in texts, roughly: 1 for letters that people use, 0 for what no text has."""
    if character in "\t\r\n" or character.isascii():
        return float(character.isprintable() or character in "\t\r\n")
    code, kind = ord(character), unicodedata.category(character)
    if kind[0] == "C" or character == _REPLACEMENT:
        return float(kind == "Cf") - (kind in ("Cn", "Co", "Cc"))
    if 0x0100 <= code < 0x0250 or kind[0] == "M":
        return 0.7
    if 0x3400 <= code <= 0x9FFF:
        return 1.0 if _frequent(character) else 0.2
    usual = code < 0x0700 or 0x0900 <= code < 0x1200 or 0x1E00 <= code < 0x2270 or 0x3000 <= code < 0x3100
    return 1.0 if usual or 0xAC00 <= code < 0xD7A4 or 0xFF00 <= code < 0xFFEF or 0x1F300 <= code < 0x1FB00 else 0.3


def _frequent(character: str) -> bool:
    """Whether a Han character is among the frequent ones of the Chinese or Japanese standards."""
    for encoding, first, last in (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("shift_jis", 0x88, 0x98)):
        data = character.encode(encoding, "ignore")
        if data and first <= data[0] <= last:
            return True
    return False


def _older(sample: bytes) -> str:
    """The most probable codec of text that is not Unicode."""
    from chardetng_py import EncodingDetector

    detector = EncodingDetector()
    detector.feed(sample, last=True)
    name: str = detector.guess(tld=None, allow_utf8=False)
    guess = _CODECS.get(name, name.lower().replace("windows-", "cp").replace("iso-8859", "iso8859"))
    if guess in _LATIN_GUESSES and (wide := _wide(sample)) and _all_han(sample.decode(wide, "replace")):
        return wide
    around = _around(sample)
    if (guess in _FREQUENT or guess in _LATIN_GUESSES) and not sample.isascii():
        guess = _by_frequency(around, guess)
    if guess == "cp1255" and _NO_HEBREW.search(around.decode(guess, "replace")):
        guess = "cp1251"
    if guess in _CYRILLIC and not _vowels(around.decode(guess, "replace")) and _hebrew(around):
        return "cp1255"
    if guess in _CYRILLIC and _scripts_apart(around.decode(guess, "replace")):
        return _best(around, _CYRILLIC, guess)
    if guess in _LATIN_GUESSES or not _scripts_apart(around.decode(guess, "replace")):
        return _best(around, _LATIN, guess)
    other = _SIBLINGS.get(guess, guess)
    return (
        other
        if _interrupted(around.decode(other, "replace")) < _interrupted(around.decode(guess, "replace"))
        else guess
    )


def _interrupted(text: str) -> int:
    """How often a sign or nothing known stands between two letters beyond ASCII."""
    return len(re.findall(r"(?<=[^\W\d_\x00-\x7f])(?:[^\w\s\x00-\x7f]|\ufffd)(?=[^\W\d_\x00-\x7f])", text))


def _by_frequency(data: bytes, guess: str) -> str:
    """Another codec of East Asia, or a Western one, if the characters of a short text are clearly more usual in it."""
    foreign = sum(byte > 127 for byte in data)
    if foreign > 2 * _MANY:
        return guess
    if guess in _FREQUENT and _usual_share(data.decode(guess, "replace"), _FREQUENT[guess]) < 0.3:
        western = _best(data, _LATIN, "cp1252")
        if _fit(data.decode(western, "replace"), _WESTERN) >= foreign and western in _WEST_CODECS:
            return western
    shares = {codec: _usual_share(data.decode(codec, "replace"), often) for codec, often in _FREQUENT.items()}
    best = max(shares, key=lambda codec: shares[codec])
    least = 0.8 if guess in _LATIN_GUESSES else max(0.5, shares[guess] + 0.4)
    return best if shares[best] >= least else guess


def _usual_share(text: str, often: str) -> float:
    """The share of frequent characters, kana and East Asian punctuation in what is not ASCII; 0 for broken text."""
    foreign = [character for character in text if not character.isascii()]
    if len(foreign) < 3 or _REPLACEMENT in foreign:
        return 0.0
    kana = sum(
        "\u3041" <= character < "\u3100" or character in "、。，：；？！（）「」《》￥％" for character in foreign
    )
    return (kana + sum(character in often for character in foreign)) / len(foreign)


def _all_han(text: str) -> bool:
    """Whether the text is mostly frequent Han characters and kana, as chance does not make it."""
    letters = [character for character in text if character.isalpha()]
    han = sum(0x3040 <= ord(letter) < 0xA000 and _usual(letter) == 1 for letter in letters)
    return len(letters) >= 4 and all(map(_usual, text)) and han > 0.95 * len(letters)


def _around(sample: bytes) -> bytes:
    """The lines that have bytes beyond ASCII, up to a few thousand bytes."""
    if len(sample) < 4000:
        return sample
    lines = (line for line in sample.splitlines(keepends=True) if not line.isascii())
    kept, size = [], 0
    for line in lines:
        kept.append(line[:2000])
        size += len(kept[-1])
        if size > 4000:
            break
    return b"".join(kept)


def _scripts_apart(text: str) -> bool:
    """Whether most words beyond ASCII have no Latin letter: Cyrillic inside a Latin word was another encoding."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    mixed = sum(any(c.isascii() for c in word) and any(_foreign(c) for c in word) for word in words)
    return 2 * mixed <= len(words) or not words


def _vowels(text: str) -> bool:
    """Whether Cyrillic text has as many vowels as words need: Hebrew read as Cyrillic has few."""
    letters = [character for character in text.lower() if _foreign(character)]
    return 5 * sum(letter in "аеиоуыэюяіїєё" for letter in letters) >= len(letters)


def _hebrew(data: bytes) -> bool:
    letters = [character for character in data.decode("cp1255", "replace") if not character.isascii()]
    return bool(letters) and all("\u0590" <= letter < "\u0600" or letter in _SIGNS for letter in letters)


def _foreign(character: str) -> bool:
    return 0x0370 <= ord(character) < 0x0700


def _best(data: bytes, family: dict[str, tuple[float, str]], guess: str) -> str:
    scores = {}
    for encoding, (handicap, alphabets) in family.items():
        text = data.decode(encoding, "replace")
        score = _fit(text, alphabets) - handicap + 1.0 * (encoding == guess)
        if encoding in _LANGUAGES:
            score += 3 * _spoken(text, _LANGUAGES[encoding])
        scores[encoding] = score
    return max(scores, key=lambda name: scores[name])


def _spoken(text: str, languages: frozenset[str]) -> float:
    """The probability that the text is in one of the languages."""
    ranks = _identifier().rank(" ".join(re.findall(r"[^\W\d_]+", text))[:2000])
    return sum(float(probability) for name, probability in ranks if name in languages)


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return identifier_of(frozenset().union(*_LANGUAGES.values()))


def _fit(text: str, alphabets: str) -> float:
    """How well letters and signs beyond ASCII fit: up to 1 each for the first 40 of them."""
    spots = [i for i, character in enumerate(text) if not character.isascii()][:_MANY]
    letters = [text[i].lower() if text[i] != "İ" else "İ" for i in spots if _letter(text[i])]
    known = max(sum(letter in alphabet for letter in letters) for alphabet in alphabets.split())
    score = 2.0 * known - len(letters)
    for i in spots:
        before, after = text[max(i - 3, 0) : i] or " ", text[i + 1 : i + 4] or " "
        score += (_case if _letter(text[i]) else _place)(text[i], before, after)
    return score


def _case(letter: str, before: str, after: str) -> float:
    """A capital letter inside a word of small letters, or a letter beside a digit, is a sign in another encoding."""
    left, right = before[-1], after[0]
    if letter.isupper() and (left.islower() or (right.islower() and left.isalpha())):
        return -3.0
    if letter.islower() and left.isupper() and right.isupper():
        return -3.0
    if not (left.isalpha() or right.isalpha() or letter in _WORDS):
        return -2.5
    if left.isdigit() or right.isdigit():
        return -2.0
    return -0.8 if (letter in "þÞ" and left.isalpha()) or (letter in "ðÐ" and not left.isalpha()) else 0.0


def _letter(character: str) -> bool:
    return character.isalpha() and character not in _SIGNS


def _place(sign: str, before: str, after: str) -> float:
    """Whether what stands beside the sign can."""
    left, right = _class(before[-1]), _class(after[0])
    if sign not in _SIGNS:
        never = sign in "\N{REPLACEMENT CHARACTER}¤" or unicodedata.category(sign) in ("Cc", "Sk")
        return -2.5 if never else -2.0 if left == right == "l" else -1.0
    if left not in _SIGNS[sign][0] or right not in _SIGNS[sign][1]:
        return 0.0 if sign == "–" and after[0].isupper() and left == "l" else -2.0
    unclear = left == right == "l" if sign == "—" else sign in "€£¥" and not any(map(str.isdigit, before + after))
    return 0.0 if unclear else 1.0


def _class(character: str) -> str:
    return "d" if character.isdigit() else "l" if character.isalpha() else "s"
