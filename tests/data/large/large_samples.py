"""Pictures of many formats that show the same pixels."""

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 131, 217


def pixels(height=HEIGHT, width=WIDTH):
    """Slopes, squares and grain: no two places look alike."""
    rows, columns = np.mgrid[:height, :width]
    squares = (columns // 16 + rows // 16) % 2 * 200
    slopes = np.stack([columns * 255 // width, rows * 255 // height, squares], axis=2)
    grain = np.random.default_rng(0).integers(0, 60, slopes.shape)
    return (slopes // 2 + grain).astype(np.uint8)


def write(path, rgb=None):
    """Write the pixels in the format that the file's name says; return what was written."""
    rgb = pixels() if rgb is None else rgb
    kind = path.name.partition(".")[0]
    if kind in TIFFS:
        return TIFFS[kind](path, rgb)
    if kind in PNGS:
        image = PNGS[kind](Image.fromarray(rgb))
        image.save(path)
        return np.asarray(image.convert("RGB"))
    if path.suffix == ".npy":
        np.save(path, rgb)
    else:
        Image.fromarray(rgb).save(path, **({"lossless": True} if path.suffix == ".webp" else {"quality": 95}))
    return rgb


def pyramid(path, rgb):
    with tifffile.TiffWriter(path) as tiff:
        how = {"tile": (64, 64), "photometric": "rgb", "compression": "zlib"}
        tiff.write(rgb, subifds=2, **how)
        for step in (2, 4):
            tiff.write(rgb[::step, ::step], subfiletype=1, **how)
    return rgb


def _tiff(**how):
    def write_one(path, rgb):
        tifffile.imwrite(path, rgb, **({"photometric": "rgb"} | how))
        return rgb

    return write_one


def _grey(path, rgb, times=1, kind=np.uint8):
    tifffile.imwrite(path, rgb[..., 0].astype(kind) * kind(times), tile=(32, 32))
    return np.repeat(rgb[..., :1], 3, axis=2)


def _planes(path, rgb):
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, tile=(48, 64), photometric="rgb", planarconfig="separate")
    return rgb


def _pages(path, rgb):
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    tifffile.imwrite(
        path, planes, tile=(48, 64), photometric="minisblack", metadata={"axes": "CYX"}, ome=True
    )
    return rgb


TIFFS = {
    "tiled": _tiff(tile=(48, 64), compression="zlib", predictor=True),
    "strips": _tiff(rowsperstrip=7),
    "planes": _planes,
    "pages": _pages,
    "pyramid": pyramid,
    "grey": _grey,
    "deep": lambda path, rgb: _grey(path, rgb, 257, np.uint16),
}
PNGS = {
    "colour": lambda image: image,
    "palette": lambda image: image.quantize(13),
    "black": lambda image: image.convert("1"),
    "greys": lambda image: image.convert("L"),
    "alpha": lambda image: image.convert("RGBA"),
}
NAMES = [
    *(f"{kind}.tif" for kind in TIFFS),
    *(f"{kind}.png" for kind in PNGS),
    "picture.npy",
    "picture.webp",
]
