"""The text in a file's bytes: UTF-8, UTF-16 with its mark, or Windows-1252, as which European Excel saves CSV files."""

from __future__ import annotations

import re

WINDOWS = "cp1252"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # first bytes that say how the rest is written
_UTF8_LETTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_CONTROL = re.compile("[\1-\b\x0e-\x19\x1c-\x1f]")  # characters of which a guess at letters can't be right
_EXAMPLES = tuple(re.compile(rf'[^\s,;|"]*{sign}[^\s,;|"]*') for sign in (r"[À-ÿ]", r"[^\x00-\x7f]"))  # words first
_ADVICE = "save it as 'CSV UTF-8'"


class NoTextError(ValueError):
    """Bytes that are no text, with the line of the first such byte (0: of no line)."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


def text_of(raw: bytes) -> tuple[str, str]:
    """The text, and where its letters had to be guessed a sentence on that, else ''.

    Raises NoTextError for what can't be read with all its letters right.

    >>> text_of("Müller;5 €".encode("cp1252"))[0]
    'Müller;5 €'
    """
    codec = next((codec for mark, codec in _MARKS.items() if raw.startswith(mark)), "utf-8-sig")
    said = ""
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError as error:
        if codec != "utf-8-sig":
            raise NoTextError(f"begins as UTF-16 and does not go on so: {_ADVICE}") from error
        text = _as_windows(raw, error)
        said = _guessed(text)
    if "\0" in text or (said and _CONTROL.search(text)):
        raise NoTextError(f"holds binary data (or UTF-16 without its mark), not CSV: if it is a table, {_ADVICE}")
    return text, said


def _as_windows(raw: bytes, error: UnicodeDecodeError) -> str:
    """The text as Windows-1252, unless most of its letters are UTF-8's: then it is that, and damaged."""
    letters = _UTF8_LETTER.findall(raw)
    strange = len(_BEYOND_ASCII.findall(raw)) - sum(map(len, letters))
    if len(letters) > strange:
        raise NoTextError(f"is UTF-8 with a damaged letter ({_where(raw, error)}): {_ADVICE} again", _line(raw, error))
    try:
        return raw.decode(WINDOWS)
    except UnicodeDecodeError as none:
        message = f"is neither UTF-8 nor Windows-1252 ({_where(raw, none)}): {_ADVICE}"
        raise NoTextError(message, _line(raw, none)) from none


def _where(raw: bytes, error: UnicodeDecodeError) -> str:
    return f"byte 0x{raw[error.start]:02x}"


def _line(raw: bytes, error: UnicodeDecodeError) -> int:
    return raw.count(b"\n", 0, error.start) + 1


def _guessed(text: str) -> str:
    found = next(filter(None, (example.search(text) for example in _EXAMPLES)))
    shown = found[0][:30]
    return f"is no UTF-8, so its letters are read as Windows-1252 (such as '{shown}'); if they are wrong, {_ADVICE}"


__all__ = ["WINDOWS", "NoTextError", "text_of"]
