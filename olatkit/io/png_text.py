"""Texts beside the pixels of a PNG file: keyword and value, as ISO/IEC 15948 puts them into tEXt and iTXt chunks."""

import struct
import zlib
from collections.abc import Iterator, Mapping

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER_HEADER = len(SIGNATURE) + 25  # IHDR has 13 bytes, and 12 around them


def with_text(png: bytes, texts: Mapping[str, object]) -> bytes:
    """The file with texts behind its header; keywords are 1 to 79 Latin-1 characters, values any text or number."""
    chunks = b"".join(_chunk(keyword, str(value)) for keyword, value in texts.items())
    return png[:_AFTER_HEADER] + chunks + png[_AFTER_HEADER:]


def read_text(png: bytes) -> dict[str, str]:
    """Texts of a file that are not compressed; none of one that is no PNG."""
    found: dict[str, str] = {}
    for kind, data in _chunks(png):
        keyword, _, rest = data.partition(b"\0")
        if kind == b"tEXt":
            found[keyword.decode("latin-1")] = rest.decode("latin-1")
        elif kind == b"iTXt" and rest.startswith(b"\0\0"):  # not compressed; then language and translated keyword
            found[keyword.decode("latin-1")] = rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
    return found


def _chunk(keyword: str, value: str) -> bytes:
    """One text as a chunk: plain where ASCII does, international otherwise."""
    name = keyword.encode("latin-1")
    if not 1 <= len(name) <= 79 or b"\0" in name:
        raise ValueError(f"PNG keyword {keyword!r}, expected 1 to 79 Latin-1 characters")
    if value.isascii():
        kind, data = b"tEXt", name + b"\0" + value.encode("ascii")
    else:
        kind, data = b"iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8")
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of all whole chunks."""
    at = len(SIGNATURE)
    while png.startswith(SIGNATURE) and at + 12 <= len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        if at + 12 + size > len(png):
            return
        yield kind, png[at + 8 : at + 8 + size]
        at += 12 + size
