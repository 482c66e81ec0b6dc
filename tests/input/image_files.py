"""Image files of every format and mode, and their pixels as Pillow shows them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

WHITE = (255, 255, 255)
WIDTH, HEIGHT = 48, 32
_ORIENTATION_TAG = 0x0112
XMP = '<rdf:Description name="é" tiff:Orientation="6"/>'.encode()


def picture(mode: str = "RGB") -> Image.Image:
    """A smooth picture, 48 by 32, without any symmetry; its alpha grows to the right."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = Image.fromarray(np.stack([x * 5, y * 7, x + y], -1).astype(np.uint8))
    if mode == "P":
        return rgb.quantize(16)
    if mode == "I;16":
        return Image.fromarray((x * 1300 + y).astype(np.uint16))
    if "A" in mode:
        rgb.putalpha(Image.fromarray((x * 5).astype(np.uint8)))
    return rgb.convert(mode)


def encoded(image: Image.Image, image_format: str, **options) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def exif(orientation: int, byte_order: str = "<") -> Image.Exif:
    """EXIF data as a camera writes them."""
    found = Image.Exif()
    found.endian = byte_order
    found[0x010F] = "maker"
    found[_ORIENTATION_TAG] = orientation
    return found


def shown(data: bytes) -> np.ndarray:
    """Pixels as Pillow shows them: first frame, upright, on white, RGB; int [h, w, 3]."""
    image = Image.open(io.BytesIO(data))
    image.seek(0)
    image = ImageOps.exif_transpose(image)
    if image.mode == "I;16":  # of which Pillow's own conversion keeps the lower eight bits
        return np.repeat(np.asarray(image)[..., None] >> 8, 3, -1).astype(int)
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, WHITE)
        ground.alpha_composite(image.convert("RGBA"))
        image = ground
    return np.asarray(image.convert("RGB")).astype(int)


def png(size: tuple[int, int], bits: int, color_type: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG file of any kind, its rows each led by a filter's number."""
    header = struct.pack(">IIBBBBB", *size, bits, color_type, 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_checksums(data: bytes) -> bytes:
    """The same bytes with right checksums where they are PNG, so that decoders read on."""
    if not data.startswith(b"\x89PNG"):
        return data
    found, at = bytearray(data), 8
    while at + 12 <= len(data):
        end = at + 8 + struct.unpack_from(">I", data, at)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", found, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(found)


def raw_profile(packed: bool) -> PngImagePlugin.PngInfo:
    """EXIF as ImageMagick wrote it into PNG: hexadecimal digits in a text."""
    digits = exif(6).tobytes().hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    info = PngImagePlugin.PngInfo()
    text = f"\nexif\n{len(digits) // 2:8}\n{lines}\n"
    info.add_text("Raw profile type exif", text, zip=packed)
    return info


def bmp(
    bits: int,
    masks: tuple[int, ...] = (),
    goes_down: bool = False,
    header_bytes: int = 40,
    size: tuple[int, int] = (5, 3),
) -> bytes:
    """A BMP file of 5 by 3 pixels that all differ."""
    width, height = size
    row = (width * bits + 31) // 32 * 4
    colors = np.arange(4 * (1 << bits if bits <= 8 else 0), dtype=np.uint32) * 37 % 251
    palette = colors.astype(np.uint8).tobytes()
    pixels = (np.arange(row * height) * 89 % 256).astype(np.uint8).tobytes()
    masked = b"".join(struct.pack("<I", mask) for mask in masks)
    info = struct.pack(
        "<IiiHHIIiiII",
        *(header_bytes, width, -height if goes_down else height, 1, bits, 3 if masks else 0),
        *(len(pixels), 2835, 2835, 0, 0),
    )
    info += masked.ljust(header_bytes - 40, b"\0")
    start = 14 + len(info) + len(palette)
    header = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return header + info + palette + pixels


def without_adobe_marker(jpeg: bytes) -> bytes:
    """A JPEG without its APP14 segment."""
    start = jpeg.index(b"\xff\xee\x00\x0eAdobe")
    return jpeg[:start] + jpeg[start + 16 :]


def gif_of_a_part(transparent: bool) -> bytes:
    """A GIF of 4 by 3 pixels, its first frame 2 by 2 of them at (1, 1), of colours 1 and 2."""
    palette = bytes([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    control = b"!\xf9\x04" + bytes([int(transparent), 0, 0, 1]) + b"\0"
    frame = b"," + struct.pack("<HHHHB", 1, 1, 2, 2, 0)
    # LZW of 8 bits a colour: clear, 1, 2, 2, 1, end, in codes of 9 bits, lowest first.
    codes = sum(code << 9 * place for place, code in enumerate((256, 1, 2, 2, 1, 257)))
    data = b"\x08" + b"\x07" + codes.to_bytes(7, "little") + b"\0;"
    header = b"GIF89a" + struct.pack("<HHBBB", 4, 3, 0x81, 0, 0)
    return header + palette + control + frame + data


def every_kind() -> dict[str, bytes]:
    """Files by a name that says what is peculiar of them."""
    files = {}
    for order in "<>":
        for turn in range(10):
            name = f"EXIF {turn} {'little' if order == '<' else 'big'}"
            options = {"exif": exif(turn, order)}
            files[f"JPEG {name}"] = encoded(picture(), "JPEG", quality=95, **options)
            files[f"PNG {name}"] = encoded(picture(), "PNG", **options)
            files[f"WebP {name}"] = encoded(picture(), "WEBP", **options)
    for mode in ("RGB", "L", "CMYK"):
        for progressive in (False, True):
            name = f"JPEG {mode}{' progressive' * progressive}"
            image = picture(mode)
            files[name] = encoded(image, "JPEG", quality=95, progressive=progressive)
    files["JPEG CMYK, no marker"] = without_adobe_marker(files["JPEG CMYK"])
    files["JPEG 4:4:4"] = encoded(picture(), "JPEG", subsampling=0)
    files["JPEG stored as RGB"] = encoded(picture(), "JPEG", keep_rgb=True)
    files["JPEG XMP"] = encoded(picture(), "JPEG", xmp=XMP)
    files["JPEG XMP and EXIF"] = encoded(picture(), "JPEG", xmp=XMP, exif=exif(8))
    files["JPEG XMP and EXIF 1"] = encoded(picture(), "JPEG", xmp=XMP, exif=exif(1))
    for mode in ("1", "L", "P", "RGB", "LA", "RGBA", "I;16"):
        files[f"PNG {mode}"] = encoded(picture(mode), "PNG")
    for bits in (1, 2, 4):
        palette = picture().quantize(1 << bits)
        files[f"PNG P of {bits} bits"] = encoded(palette, "PNG", bits=bits)
        files[f"PNG P of {bits} bits, tRNS"] = encoded(palette, "PNG", bits=bits, transparency=1)
    files["PNG P, tRNS of each"] = encoded(
        picture("P"), "PNG", transparency=bytes(range(0, 256, 16))
    )
    files["PNG 1, tRNS"] = encoded(picture("1"), "PNG", transparency=0)
    files["PNG L, tRNS"] = encoded(picture("L"), "PNG", transparency=100)
    files["PNG RGB, tRNS"] = encoded(picture(), "PNG", transparency=(5, 7, 2))
    noise = np.random.default_rng(0)
    for color_type, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        samples = noise.integers(0, 65536, (4, 5, channels)).astype(">u2")
        rows = b"".join(b"\0" + row.tobytes() for row in samples)
        files[f"PNG 16 bits, {channels} channels"] = png((5, 4), 16, color_type, rows)
    for bits in (1, 2, 4):
        rows = b"".join(b"\0" + noise.bytes((5 * bits + 7) // 8) for _ in range(4))
        files[f"PNG grey of {bits} bits"] = png((5, 4), bits, 0, rows)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    files["PNG XMP"] = encoded(picture(), "PNG", pnginfo=info)
    files["PNG EXIF as text"] = encoded(picture(), "PNG", pnginfo=raw_profile(False))
    files["PNG EXIF as packed text"] = encoded(picture(), "PNG", pnginfo=raw_profile(True))
    others = {"save_all": True, "append_images": [picture().rotate(180), picture().rotate(90)]}
    files["PNG animated"] = encoded(picture(), "PNG", **others)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        files[f"GIF {mode}"] = encoded(picture(mode), "GIF")
    files["GIF, transparent colour"] = encoded(picture("P"), "GIF", transparency=3)
    files["GIF not interlaced"] = encoded(picture("P"), "GIF", interlace=0)
    files["GIF animated"] = encoded(picture(), "GIF", comment=b"x" * 700, **others)
    files["GIF animated, RGBA"] = encoded(picture("RGBA"), "GIF", **others)
    files["GIF, frame of a part"] = gif_of_a_part(transparent=False)
    files["GIF, transparent frame of a part"] = gif_of_a_part(transparent=True)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        files[f"BMP {mode}"] = encoded(picture(mode), "BMP")
    for bits in (1, 4, 8, 16, 24, 32):
        files[f"BMP of {bits} bits"] = bmp(bits)
        files[f"BMP of {bits} bits, downwards"] = bmp(bits, goes_down=True)
    files["BMP 5-6-5"] = bmp(16, (0xF800, 0x7E0, 0x1F), header_bytes=56)
    files["BMP BGRA"] = bmp(32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), header_bytes=108)
    files["BMP RGBA"] = bmp(32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), header_bytes=124)
    for lossless in (False, True):
        name = "lossless" if lossless else "lossy"
        for mode in ("RGB", "RGBA"):
            image = picture(mode)
            files[f"WebP {mode} {name}"] = encoded(image, "WEBP", lossless=lossless)
            options = others | {"lossless": lossless}
            files[f"WebP {mode} {name}, animated"] = encoded(image, "WEBP", **options)
        part = Image.new("RGBA", (WIDTH, HEIGHT))
        part.paste(picture().crop((10, 10, 40, 30)), (10, 10))
        files[f"WebP part {name}, animated"] = encoded(part, "WEBP", **options)
    files["WebP animated EXIF"] = encoded(picture("RGBA"), "WEBP", exif=exif(6), **others)
    files["WebP XMP"] = encoded(picture(), "WEBP", xmp=XMP)
    return files
