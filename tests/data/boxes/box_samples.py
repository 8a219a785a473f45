"""Small data sets with boxes, in every format: two classes, one picture without objects."""

import json

from PIL import Image

SIZE = (40, 60)  # height and width
BOXES = {  # by picture: left, top, right, bottom, class
    "a": [(2, 3, 22, 13, "car"), (30, 10, 50, 30, "sign")],
    "b": [(5, 5, 15, 35, "car")],
    "c": [],
}
NAMES = ("car", "sign")


def picture(path, number=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size[::-1], (20 * number, 90, 200 - 9 * number))
    image.putpixel((number % size[1], number % size[0]), (255, 255, 255))
    image.save(path)
    return path


def pictures(folder, suffix=".png"):
    for number, name in enumerate(BOXES):
        picture(folder / f"{name}{suffix}", number + 7 * len(folder.as_posix()) % 11)


def coco(root, splits=("train", "test"), ids=(3, 7)):
    """Write ids with a gap, a crowd, an object with an outline alone and one with run lengths."""
    for split in splits:
        pictures(root / split)
        notes = [
            {
                "image_id": number,
                "category_id": ids[NAMES.index(label)],
                "bbox": [left, top, right - left, bottom - top],
                "area": 0.5 * (right - left) * (bottom - top),
                "iscrowd": 0,
            }
            for number, boxes in enumerate(BOXES.values())
            for left, top, right, bottom, label in boxes
        ]
        notes.append({"image_id": 0, "category_id": ids[0], "bbox": [0, 30, 60, 10], "iscrowd": 1})
        outline = [[10, 20, 20, 20, 15, 33]]
        notes.append({"image_id": 1, "category_id": ids[1], "segmentation": outline})
        counts = [2 * SIZE[0] + 4, 6, (SIZE[1] - 3) * SIZE[0] + SIZE[0] - 10]
        runs = {"size": list(SIZE), "counts": counts}  # rows 4 to 9 of column 2
        notes.append({"image_id": 1, "category_id": ids[1], "segmentation": runs})
        content = {
            "images": [
                {"id": n, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]}
                for n, name in enumerate(BOXES)
            ],
            "categories": [{"id": n, "name": name} for n, name in zip(ids, NAMES, strict=True)],
            "annotations": [note | {"id": n} for n, note in enumerate(notes)],
        }
        (root / split / "_annotations.coco.json").write_text(json.dumps(content))
    return root


def voc(root, splits=("train", "test"), database="mine"):
    for split in splits:
        pictures(root / split)
        for name, boxes in BOXES.items():
            objects = "".join(
                f"<object><name>{label}</name><difficult>{int(label == 'sign')}</difficult>"
                f"<bndbox><xmin>{left}"
                f"</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
                for left, top, right, bottom, label in boxes
            )
            text = (
                f"<annotation><filename>{name}.png</filename><source><database>{database}</database></source>"
                f"<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>{objects}</annotation>"
            )
            (root / split / f"{name}.xml").write_text(text)
    return root


def yolo(root, splits=("train", "test"), names=NAMES):
    for split in splits:
        pictures(root / split / "images")
        for name, boxes in BOXES.items():
            lines = [
                f"{NAMES.index(label)} {(left + right) / 2 / SIZE[1]} {(top + bottom) / 2 / SIZE[0]} "
                f"{(right - left) / SIZE[1]} {(bottom - top) / SIZE[0]}"
                for left, top, right, bottom, label in boxes
            ]
            text = root / split / "labels" / f"{name}.txt"
            text.parent.mkdir(exist_ok=True)
            if lines:  # the picture without objects has no text
                text.write_text("\n".join(lines))
    if names:
        (root / "data.yaml").write_text(f"names: [{', '.join(names)}]\nnc: {len(names)}\n")
    return root


def table(root, splits=("train", "test"), header="path,x1,y1,x2,y2,label,split"):
    rows = [header]
    for split in splits:
        pictures(root / split)
        for name, boxes in BOXES.items():
            rows += [
                f"{split}/{name}.png,{left},{top},{right},{bottom},{label},{split}"
                for left, top, right, bottom, label in boxes
            ]
            rows += [] if boxes else [f"{split}/{name}.png,,,,,,{split}"]
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return root / "boxes.csv"
