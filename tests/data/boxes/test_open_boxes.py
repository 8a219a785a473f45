import json

import numpy as np
import pytest
from PIL import Image

from foveate.data.boxes.check_boxes import check_boxes
from foveate.data.boxes.open_boxes import has_boxes, open_boxes
from foveate.errors import DataError, OptionError
from foveate.tasks.detection import Detection
from foveate.tasks.open_source import open_source, task_for
from tests.data.boxes import box_samples
from tests.data.boxes.box_samples import BOXES, NAMES, SIZE


def stated(boxes, data):
    """Return boxes that are learnt as they were written."""
    return [
        (*map(float, box), data.classes[label])
        for box, label, crowd in zip(boxes.boxes.round(6).tolist(), boxes.labels, boxes.crowd, strict=True)
        if not crowd
    ]


def kinds(data):
    return {finding.kind: finding.severity for finding in check_boxes(data)}


@pytest.mark.parametrize("form", ["yolo", "table"])
def test_every_format_holds_the_same_boxes(tmp_path, form):
    source = getattr(box_samples, form)(tmp_path)
    data = open_source(str(source))  # recognised without naming the task
    assert (data.task, data.classes) == ("detection", NAMES)
    for split in ("train", "test"):
        assert [stated(boxes, data) for boxes in data.boxes[split]] == [
            [(*map(float, box[:4]), box[4]) for box in boxes] for boxes in BOXES.values()
        ]
    assert kinds(data)["no_box"] == "note"
    again = Detection.reopen(json.loads(json.dumps(data.origin)))
    assert again.fingerprint == data.fingerprint


def test_coco_keeps_ids_with_gaps_crowds_and_areas_and_boxes_outlines(tmp_path):
    data = open_boxes(box_samples.coco(tmp_path))
    assert (data.classes, data.categories) == (NAMES, (3, 7))
    first, second, third = data.boxes["test"]
    assert stated(first, data) == [(2, 3, 22, 13, "car"), (30, 10, 50, 30, "sign")]
    assert first.crowd.tolist() == [False, False, True]
    assert first.area.tolist() == [100, 200, 600]
    assert stated(second, data)[1:] == [(10, 20, 20, 33, "sign"), (2, 4, 3, 10, "sign")]
    assert len(third) == 0
    assert not has_boxes(tmp_path)  # it may be for segmentation as well
    assert kinds(data)["category_gap"] == "note"


def test_voc_has_difficult_objects_and_its_own_releases_count_from_one(tmp_path):
    data = open_source(str(box_samples.voc(tmp_path / "mine")))
    first = data.boxes["train"][0]
    assert first.boxes.tolist() == [[2, 3, 22, 13], [30, 10, 50, 30]]
    assert first.crowd.tolist() == [False, True]
    released = open_boxes(box_samples.voc(tmp_path / "voc", database="The VOC2007 Database"))
    assert released.boxes["train"][0].boxes[0].tolist() == [1, 2, 22, 13]


def test_voc_lists_decide_the_splits(tmp_path):
    box_samples.voc(tmp_path, splits=("all",))
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")  # c is in no list
    data = open_boxes(tmp_path)
    assert {name: split.names for name, split in data.images.splits.items()} == {
        "train": ("all/a.png",),
        "test": ("all/b.png",),
    }


def test_data_in_one_piece_is_cut_the_same_way_each_time(tmp_path):
    path = box_samples.coco(tmp_path, splits=("pool",)) / "pool" / "_annotations.coco.json"
    one, two = (open_boxes(path, seed=1, shares=(0.5, 0.0, 0.5)) for _ in range(2))
    assert one.fingerprint == two.fingerprint
    assert sum(one.items.values()) == 3


def test_boxes_that_cannot_be_used_are_named(tmp_path):
    path = box_samples.table(tmp_path)
    text = path.read_text().splitlines()
    odd = ["20,20,10,30", "100,100,120,120", "5,5,5,9", "50,30,70,45", "2,3,22,13"]
    text += [f"train/a.png,{corners},car,train" for corners in odd]
    path.write_text("\n".join(text))
    data = open_boxes(path)
    found = {finding.kind: finding for finding in check_boxes(data)}
    expected = {
        "inverted_box": ("error", 2),
        "box_outside": ("error", 3),
        "empty_box": ("warning", 4),
        "box_beyond": ("warning", 5),
        "duplicate_box": ("warning", 3),  # among those that are left
    }
    for kind, (severity, number) in expected.items():
        assert found[kind].severity == severity
        assert found[kind].items == (f"train/a.png, box {number}",)
    kept = data.boxes["train"][0].boxes.tolist()
    assert kept[2:] == [[50, 30, 60, 40], [2, 3, 22, 13]]
    assert len(Detection.warnings(data)) == 5


def test_boxes_are_turned_with_a_picture_that_exif_turns(tmp_path):
    path = box_samples.coco(tmp_path, splits=("pool",)) / "pool" / "_annotations.coco.json"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to the right
    with Image.open(tmp_path / "pool" / "a.png") as image:
        image.save(tmp_path / "pool" / "a.png", exif=exif)
    data = open_boxes(path, shares=(0.4, 0.0, 0.6))
    boxes = {
        name: one
        for split, names in data.images.splits.items()
        for name, one in zip(names.names, data.boxes[split], strict=True)
    }
    height = SIZE[0]
    assert boxes["a.png"].boxes[0].tolist() == [height - 13, 2, height - 3, 22]


def test_what_cannot_be_read_says_why(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_boxes(tmp_path / "none")
    with pytest.raises(DataError, match=r"no annotations with boxes.*COCO"):
        open_boxes(tmp_path)
    box_samples.pictures(tmp_path)
    table = tmp_path / "boxes.csv"
    cases = {
        "path,x1,y1,x2,label\na.png,1,2,3,car": "no column y2",
        "path,x1,y1,x2,y2,label\na.png,1,2,3,,car": "not four numbers",
        "path,x1,y1,x2,y2,label\na.png,1,2,3,4,\na.png,1,2,3,4,car": "without a label",
        "path,x1,y1,x2,y2,label\nz.png,1,2,3,4,car": "no such picture",
        "path,x1,y1,x2,y2,label\na.png,0.1,0.2,0.3,0.4,car": "shares of the picture",
        "path,x1,y1,x2,y2,label,split\na.png,1,2,3,4,car,train\na.png,1,2,3,4,car,test": "name several",
    }
    for text, words in cases.items():
        table.write_text(text)
        with pytest.raises(DataError, match=words):
            open_boxes(table)
    with pytest.raises(OptionError, match="boxes=False"):
        open_boxes("scenes(boxes=False)")
    root = box_samples.yolo(tmp_path / "yolo")
    (root / "train" / "labels" / "a.txt").write_text("5 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match=r"names class 5, but there are 2"):
        open_boxes(root)
    (root / "train" / "labels" / "a.txt").write_text("0 40 30 20 10")
    with pytest.raises(DataError, match="not a share"):
        open_boxes(root)
    path = box_samples.voc(tmp_path / "voc")
    (path / "train" / "a.xml").write_text("<annotation><object><name>car</name></object></annotation>")
    with pytest.raises(DataError, match="no bndbox of four numbers"):
        open_boxes(path)


def test_annotations_of_another_size_are_refused(tmp_path):
    root = box_samples.coco(tmp_path)
    box_samples.picture(root / "train" / "a.png", size=(80, 120))
    with pytest.raises(DataError, match=r"another size.*60x40 stated, 120x80 found"):
        open_boxes(root)


def test_scenes_have_a_box_around_every_digit():
    data = open_boxes("scenes(train=20, val=0, test=8, classes=3, distractors=3)")
    assert task_for("scenes(boxes=True)", None) is Detection
    assert task_for("scenes", None) is not Detection
    assert (data.classes, data.items) == (("0", "1", "2"), {"train": 20, "test": 8})
    for image, boxes in enumerate(data.boxes["train"]):
        assert boxes.boxes.shape == (4, 4)
        pixels = data.images.splits["train"].load(image).astype(float)
        inside = np.zeros(pixels.shape[:2], bool)
        for left, top, right, bottom in boxes.boxes.astype(int):
            inside[top:bottom, left:right] = True
        assert pixels[inside].std() > pixels[~inside].std()  # bright digits on a dark ground
    assert check_boxes(data) == []
    assert [len(part.boxes["test"]) for part in data.folds(4).parts] == [7] * 4
