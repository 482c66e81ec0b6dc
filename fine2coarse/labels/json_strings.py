"""Lists of strings as JSON, piece by piece where there are millions: no Python string an image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from fine2coarse.image_ids import ImageIds

_BLOCK_BYTES = 1 << 24
_BETWEEN, _QUOTE, _BACKSLASH = b'", "', b'"', 0x5C


def _plain_bytes(past_ascii: bool) -> np.ndarray:
    """Which bytes JSON writes as they are: bool [256]; NUL, which fills arrays up, among them."""
    plain = np.zeros(256, bool)
    plain[0x20 : 256 if past_ascii else 0x7F] = True
    plain[[0x22, _BACKSLASH]] = False
    plain[0] = True
    return plain


_PLAIN = {ensure_ascii: _plain_bytes(not ensure_ascii) for ensure_ascii in (True, False)}


def json_pieces(strings: Sequence[str], *, ensure_ascii: bool) -> Iterator[bytes]:
    """The bytes of `json.dumps(list(strings), ensure_ascii=ensure_ascii)`, in pieces.

    Args:
      strings: any; of `ImageIds` no list is made.
      ensure_ascii: as `json.dumps` takes it.
    """
    if not isinstance(strings, ImageIds):
        yield json.dumps(list(strings), ensure_ascii=ensure_ascii).encode()
        return
    before = b"["
    for block in strings.blocks():
        yield before + _joined(block, ensure_ascii)
        before = b", "
    yield b"]" if len(strings) else b"[]"


def _joined(encoded: np.ndarray, ensure_ascii: bool) -> bytes:
    """A block of ids, bytes [n], as JSON without the brackets around."""
    keys = encoded.tolist()
    is_plain = _PLAIN[ensure_ascii][np.ascontiguousarray(encoded).view(np.uint8)].all()
    if is_plain:
        joined = _BETWEEN.join(keys)
        if b"\0" not in joined:
            return _QUOTE + joined + _QUOTE
    return json.dumps([key.decode() for key in keys], ensure_ascii=ensure_ascii)[1:-1].encode()


def read_json_strings(packed: np.ndarray) -> Sequence[str]:
    """The strings of a JSON list: uint8 [bytes]; `ImageIds` where they are more than 16 MiB.

    Raises:
      ValueError: where it is no JSON.
    """
    begins = range(0, len(packed), _BLOCK_BYTES)
    if len(packed) > _BLOCK_BYTES and not any(
        (packed[begin : begin + _BLOCK_BYTES] == _BACKSLASH).any() for begin in begins
    ):
        found = _read_plain(packed)
        if found is not None:
            return found
    strings = tuple(map(str, json.loads(packed.tobytes().decode())))
    return strings if len(packed) <= _BLOCK_BYTES else ImageIds.of(strings)


def _read_plain(packed: np.ndarray) -> ImageIds | None:
    """The same of strings without escapes, block by block; None where their ends are not clear."""
    if packed[:2].tobytes() != b'["' or packed[-2:].tobytes() != b'"]':
        return None
    begin, end, parts = 2, len(packed) - 2, []
    while begin <= end:
        block = packed[begin : min(begin + _BLOCK_BYTES, end)].tobytes()
        stop = len(block) if begin + len(block) == end else _last_end(block)
        if stop < 0:
            return None
        parts.append(np.asarray(block[:stop].split(_BETWEEN), np.bytes_))
        begin += stop + len(_BETWEEN)
    found = np.empty(sum(map(len, parts)), np.result_type(*parts))
    begin = 0
    while parts:  # each goes as soon as it is copied
        part = parts.pop(0)
        found[begin : begin + len(part)] = part
        begin += len(part)
    return ImageIds(found)


def _last_end(block: bytes) -> int:
    """Where the last string ends that ends in a block which begins inside a string; -1 if none."""
    stop = block.rfind(_BETWEEN)
    while stop >= 0 and block.count(_QUOTE, 0, stop) % 2:  # it stands within a string
        stop = block.rfind(_BETWEEN, 0, stop + len(_BETWEEN) - 1)
    return stop
