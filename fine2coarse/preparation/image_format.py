"""Which image format a file is of, by its first bytes. Imports no TensorFlow."""

from __future__ import annotations

JPEG = "JPEG"
"""Its name here."""

HEAD_BYTES = 32
"""So many first bytes say which format it is."""

# Magic numbers by offset. Pillow opens the formats of `PILLOW_FORMATS` and no other.
_MAGIC = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (0, b"P5", "PPM"),
    (0, b"P6", "PPM"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
)
PILLOW_FORMATS = {
    JPEG: ("JPEG",),  # and MPO, what some cameras write: a JPEG with others behind it
    "PNG": ("PNG",),
    "WebP": ("WEBP",),
    "GIF": ("GIF",),
    "BMP": ("BMP",),
    "TIFF": ("TIFF",),
    "JPEG 2000": ("JPEG2000",),
    "AVIF": ("AVIF",),
    "PPM": ("PPM",),
}
"""Format → Pillow's names of what is read as it."""

READ_FORMATS = tuple(PILLOW_FORMATS)
"""Formats that are read."""


def image_format(data: bytes) -> str:
    """'JPEG', 'PNG', 'WebP', … by the first bytes, whatever the name; empty where none is known.

    Of these, `READ_FORMATS` are read.
    """
    for offset, magic, name in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            if name == "WebP" and not data.startswith(b"RIFF"):
                continue
            return name
    return ""
