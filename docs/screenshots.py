# ruff: noqa: INP001  a program, no part of a package
"""Takes the pictures of README and guides: `make screenshots`.

In: nothing; the pages are served from a store of their own, by an example sender, and time all
but stands still. Out: `docs/img/*.png`, in 256 colours, so that each is small.
*Fails:* where Chromium is not installed.
*Known limits:* the letters look as the machine's fonts do; take all pictures on one machine.
"""

import asyncio
import struct
import sys
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.browser import DESKTOP, PHONE, chromium  # noqa: E402  found by the line above
from support.gallery import STATES, gallery  # noqa: E402

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {2: 3, 6: 4}  # PNG colour types: RGB, RGBA
_PALETTE = 256


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: which state, and as many pixels of its page from the top as matter."""

    name: str
    state: str
    height: int
    language: str = "en"
    on_desktop: bool = False
    at_night: bool = False


SHOTS = (
    Shot("unsubscribe", "unsubscribe", 650),
    Shot("unsubscribed", "unsubscribed", 690),
    Shot("preferences", "preferences", 1120),
    Shot("sign-up", "sign-up", 1040),
    Shot("confirm", "confirm", 620),
    Shot("dossier", "dossier", 1040),
    Shot("preferences-dark", "preferences", 1130, on_desktop=True, at_night=True),
    Shot("unsubscribe-de", "unsubscribe", 650, language="de"),
)


async def take(folder: Path) -> None:
    """Puts every picture into `folder`."""
    states = {state.name: state.open for state in STATES}
    with tempfile.TemporaryDirectory() as scratch:
        async with gallery(Path(scratch)) as place, chromium() as browser:
            for shot in SHOTS:
                context = await browser.new_context(
                    viewport=DESKTOP if shot.on_desktop else PHONE,
                    color_scheme="dark" if shot.at_night else "light",
                    device_scale_factor=1 if shot.on_desktop else 1.5,
                )
                page = await context.new_page()
                await states[shot.state](place, page, shot.language)
                for number in await page.locator("header code").all():  # another one each time
                    await number.evaluate("one => one.textContent = '7h2kq9wz3nx4c'")
                size = page.viewport_size or PHONE
                await page.set_viewport_size({"width": size["width"], "height": shot.height})
                picture = in_few_colours(await page.screenshot())
                (folder / f"{shot.name}.png").write_bytes(picture)
                await context.close()


def in_few_colours(png: bytes) -> bytes:
    """The same picture with a palette: the most frequent colours as they are, the rest nearby.

    Takes what Chromium writes: 8 bits a channel, not interlaced.
    """
    width, height, pixels = _decoded(png)
    counted = Counter(pixels)
    palette = [colour for colour, _ in counted.most_common(_PALETTE)]
    place = {colour: number for number, colour in enumerate(palette)}
    for colour in counted:
        if colour not in place:
            place[colour] = place[min(palette, key=lambda known: _distance(known, colour))]
    rows = bytes(place[colour] for colour in pixels)
    data = b"".join(b"\0" + rows[at : at + width] for at in range(0, len(rows), width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(data, 9)))
    return _SIGNATURE + b"".join(_chunk(*one) for one in (*chunks, (b"IEND", b"")))


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _decoded(png: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height, and each pixel as red, green and blue (PNG, second edition, §9)."""
    at, head, packed = len(_SIGNATURE), b"", b""
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + length]
        head = data if kind == b"IHDR" else head
        packed += data if kind == b"IDAT" else b""
        at += length + 12
    width, height, _, colour_type = struct.unpack(">IIBB", head[:10])
    step = _CHANNELS[colour_type]
    lines, above = zlib.decompress(packed), bytes(width * step)
    pixels = []
    for start in range(0, height * (width * step + 1), width * step + 1):
        line = bytearray(lines[start + 1 : start + 1 + width * step])
        _unfilter(lines[start], line, above, step)
        pixels += [bytes(line[x : x + 3]) for x in range(0, len(line), step)]
        above = bytes(line)
    return width, height, pixels


def _unfilter(kind: int, line: bytearray, above: bytes, step: int) -> None:
    for x in range(len(line)):
        left, corner = (line[x - step], above[x - step]) if x >= step else (0, 0)
        guess = (0, left, above[x], (left + above[x]) // 2, _paeth(left, above[x], corner))[kind]
        line[x] = (line[x] + guess) & 0xFF


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))


if __name__ == "__main__":
    asyncio.run(take(HERE / "img"))
