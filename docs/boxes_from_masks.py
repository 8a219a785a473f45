"""Write the objects of data with masks as boxes, in COCO's format: one box around each connected region.

    python docs/boxes_from_masks.py camvid --classes car,pedestrian,bicyclist,sign_symbol --out camvid_boxes

OUT gets a folder for each split with its pictures and _annotations.coco.json. Objects of one class that touch
each other become one box, and one that something crosses becomes two: masks do not say which pixels belong
together. Regions of fewer than --least pixels are left out.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from scipy import ndimage

from foveate.data.open import open_data

TOUCHING = np.ones((3, 3))  # corners join too


def annotations(mask, numbers, least):
    """Yield the boxes of a mask: bbox, area and category of each region of the classes with these numbers."""
    for category, number in enumerate(numbers, start=1):
        regions, _ = ndimage.label(mask == number, structure=TOUCHING)
        sizes = np.bincount(regions.reshape(-1))
        for region, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            if sizes[region] >= least:
                box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
                yield {"category_id": category, "bbox": box, "area": int(sizes[region]), "iscrowd": 0}


def write(data, names, least, out):
    """Copy the pictures of every split, and write the annotations beside them."""
    missing = [name for name in names if name not in data.classes]
    if missing:
        raise SystemExit(f"no class {', '.join(missing)}; classes: {', '.join(data.classes)}")
    numbers = [data.classes.index(name) for name in names]
    for part, split in data.splits.items():
        images, notes = [], []
        (out / part).mkdir(parents=True, exist_ok=True)
        for item, file in enumerate(split.files):
            mask = split.masks(item)
            name = f"{item:05d}_{file.name}"
            shutil.copyfile(file, out / part / name)
            images.append({"id": item, "file_name": name, "height": mask.shape[0], "width": mask.shape[1]})
            notes += [note | {"image_id": item} for note in annotations(mask, numbers, least)]
        content = {
            "images": images,
            "categories": [{"id": n, "name": name} for n, name in enumerate(names, start=1)],
            "annotations": [note | {"id": number} for number, note in enumerate(notes, start=1)],
        }
        (out / part / "_annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")
        print(f"{part}: {len(images)} pictures, {len(notes)} boxes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--classes", required=True, help="names of the classes that are objects")
    parser.add_argument("--least", type=int, default=80, help="pixels of the smallest region")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    write(open_data(asked.data), asked.classes.split(","), asked.least, asked.out)
