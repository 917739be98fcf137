"""A folder of images as a recording: upright, opaque, 8 bits a channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key that puts frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


class Pictures:
    """The images of a folder, in natural order of their names.

    :param files: the images.
    :param mixed_sizes: allow images of different sizes.
    :raises ValueError: naming the first file that is no image, has other than 8 or 16 bits a channel, or
        whose size is not that of the first.
    """

    times: np.ndarray | None = None
    """Images have no times."""

    def __init__(self, path: Path, files: list[Path], *, mixed_sizes: bool = False) -> None:
        self.path, self.files = path, files
        self.size: tuple[int, int] = (0, 0)
        for file in files:
            with _opened(file) as image:
                size = _upright(image)
            if self.size == (0, 0):
                self.size = size
            if size != self.size and not mixed_sizes:
                raise ValueError(
                    f"{file} must be {self.size[1]} x {self.size[0]} pixels, as {files[0].name}, got "
                    f"{size[1]} x {size[0]} (mixed_sizes=True allows it)"
                )

    def __len__(self) -> int:
        return len(self.files)

    def read(
        self, size: tuple[int, int], grey: bool, order: Iterable[int] | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Images ``order``, or all: the number of each, and its pixels, see :func:`fitted`."""
        for t in range(len(self)) if order is None else order:
            with _opened(self.files[t]) as image:
                try:
                    yield float(t), fitted(image, size, grey)
                except (OSError, SyntaxError, ValueError) as error:
                    raise ValueError(
                        f"{self.files[t]} must be a whole image, got a damaged one: {error}"
                    ) from error


def fitted(image: Any, size: tuple[int, int], grey: bool) -> np.ndarray:
    """uint8 ``(C, *size)``: the centre of a picture that covers ``size``, resized with antialiasing.

    It is turned as its EXIF orientation says, stands on black where it is transparent, and 16 bits
    become 8.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    height, width = size
    image = image.convert("L" if grey else "RGB")
    pixels = np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _opened(path: Path) -> Any:
    """An image with its header read; ValueError naming the file that is none."""
    from PIL import Image

    try:
        image = Image.open(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} must be an image, got one that cannot be read: {error}"
        ) from error
    # Of PNG and PGM, Pillow gives 16 bits as I;16, or as I; a TIFF in mode I has 32.
    deep = image.mode == "I" and image.format not in ("PNG", "PPM")
    if deep or image.mode.startswith("F"):
        image.close()
        raise ValueError(f"{path} must have 8 or 16 bits a channel, got mode {image.mode}")
    return image


def _upright(image: Any) -> tuple[int, int]:
    """Height and width, turned as the EXIF orientation says."""
    from PIL import ExifTags

    width, height = image.size
    # Of a PNG without EXIF before its pixels, getexif would decode these.
    known = image.format != "PNG" or "exif" in image.info
    turned = known and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (width, height) if turned else (height, width)
