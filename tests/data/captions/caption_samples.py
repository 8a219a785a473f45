"""Small pictures with captions, in every layout that is read."""

import json

from tests.data.image_samples import save

SPLITS = ("train", "val", "test")
ORDER = ["train"] * 6 + ["val"] * 2 + ["test"] * 2


def captions(number):
    """Return the captions of a picture, another number of them for each."""
    return [f"a dog, number {number}, runs {'fast ' * extra}." for extra in range(1 + number % 3)]


def some_pictures(folder, count=10, name="{}.jpg"):
    """Save different pictures and return their names."""
    names = [name.format(number) for number in range(count)]
    for number, each in enumerate(names):
        save(folder / each, number)
    return names


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_list(root, images="images"):
    """Write a list of files with split and captions."""
    names = some_pictures(root / images)
    rows = [
        {"file": name, "split": split, "captions": captions(n)}
        for n, (name, split) in enumerate(zip(names, ORDER, strict=True))
    ]
    write_json(root / "captions.json", rows)


def write_lines(root):
    """Write one object on each line."""
    names = some_pictures(root / "images")
    rows = [
        json.dumps({"image": name, "split": split, "caption": text})
        for n, (name, split) in enumerate(zip(names, ORDER, strict=True))
        for text in captions(n)
    ]
    (root / "captions.jsonl").write_text("\n".join(rows), encoding="utf-8")


def write_karpathy(root):
    """Write a Karpathy split, one part of it "restval"."""
    names = some_pictures(root / "train2014")
    rows = [
        {
            "filepath": "train2014",
            "filename": name,
            "split": "restval" if n == 0 else split,
            "sentences": [{"raw": text, "tokens": text.split()} for text in captions(n)],
        }
        for n, (name, split) in enumerate(zip(names, ORDER, strict=True))
    ]
    write_json(root / "dataset_coco.json", {"images": rows, "dataset": "coco"})


def write_coco(root, splits=("train", "val", "test")):
    """Write COCO captions, one file a split, beside the files of another task."""
    for split in splits:
        images, notes = [], []
        for n, where in enumerate(ORDER):
            if where == split:
                save(root / f"{split}2017" / f"{n:012}.jpg", n)
                images.append({"id": n, "file_name": f"{n:012}.jpg"})
                notes += [{"image_id": n, "id": len(notes), "caption": text} for text in captions(n)]
        write_json(
            root / "annotations" / f"captions_{split}2017.json", {"images": images, "annotations": notes}
        )


def write_tokens(root):
    """Write Flickr8k as it is distributed."""
    names = some_pictures(root / "Flicker8k_Dataset")
    text = root / "Flickr8k_text"
    text.mkdir()
    rows = [f"{name}#{k}\t{each}" for n, name in enumerate(names) for k, each in enumerate(captions(n))]
    (text / "Flickr8k.token.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (text / "Flickr8k.lemma.token.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (text / "ExpertAnnotations.txt").write_text(f"{names[0]}\t{names[1]}#0\t1 1 1\n", encoding="utf-8")
    for split, word in zip(SPLITS, ("train", "dev", "test"), strict=True):
        listed = [name for name, where in zip(names, ORDER, strict=True) if where == split]
        (text / f"Flickr_8k.{word}Images.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")


def write_table(root, delimiter=","):
    """Write a table with a header."""
    names = some_pictures(root / "Images")
    quote = '"' if delimiter in ",;" else ""
    rows = [
        delimiter.join([name, f"{quote}{text}{quote}", split])
        for n, (name, split) in enumerate(zip(names, ORDER, strict=True))
        for text in captions(n)
    ]
    path = root / ("captions.tsv" if delimiter == "\t" else "captions.csv")
    path.write_text("\n".join([delimiter.join(["image", "caption", "split"]), *rows]), encoding="utf-8")
