from pathlib import Path

import pytest
from PIL import Image

from foveate.data.folders.picture_lists import Picture, pictures_of
from foveate.errors import DataError


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b/c.jpg", "b/d/e.PNG", "b/notes.md"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "PNG")
    return tmp_path


def paths(*named):
    return [str(picture.path) for picture in pictures_of(named)]


def test_a_folder_is_all_its_pictures_and_where_they_lie_in_it():
    found = pictures_of(["in"])
    assert [str(p.path) for p in found] == ["in/a.png", "in/b/c.jpg", "in/b/d/e.PNG"]
    assert [str(p.place) for p in found] == [".", "b", "b/d"]


def test_a_file_is_itself_even_if_it_is_not_there():
    assert pictures_of(["in/a.png", "gone.png"]) == [Picture(Path("in/a.png")), Picture(Path("gone.png"))]


def test_patterns_are_files_and_folders_that_match():
    assert paths("in/*.png") == ["in/a.png"] and paths("in/**/*.jpg") == ["in/b/c.jpg"]
    assert paths("in/b*") == ["in/b/c.jpg", "in/b/d/e.PNG"]
    Path("in/l.txt").write_text("gone.png")  # not a list that somebody named
    assert paths("in/*") == ["in/a.png", "in/b/c.jpg", "in/b/d/e.PNG"] and paths("in/b/[cn]*") == [
        "in/b/c.jpg"
    ]
    Image.new("RGB", (4, 4)).save("odd[1].png")
    assert paths("odd[1].png") == ["odd[1].png"]  # a name with brackets that is there is no pattern


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.txt", "in/a.png\n\n  in/b/c.jpg\r\n"),
        ("l.txt", "\ufeffin/a.png\nin/b/c.jpg"),
        ("l.csv", "path\nin/a.png\nin/b/c.jpg\n"),
        ("l.csv", "\ufeffid;image;label\n1;in/a.png;x\n2;in/b/c.jpg;y\n"),
        ("l.tsv", "Filename\tlabel\nin/a.png\tx\nin/b/c.jpg\ty\n"),
        ("l.csv", "in/a.png\nin/b/c.jpg\n"),
    ],
)
def test_lists_name_pictures(workplace, name, text):
    (workplace / name).write_text(text, encoding="utf-8")
    assert paths(name) == ["in/a.png", "in/b/c.jpg"]


def test_a_list_is_relative_to_itself_or_else_to_the_current_directory(workplace):
    (workplace / "in" / "l.txt").write_text("b/c.jpg\nin/a.png\nnowhere.png")
    assert paths("in/l.txt") == ["in/b/c.jpg", "in/a.png", "in/nowhere.png"]


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("", 'got "" as the name of a picture'),
        ("empty", "folder holds no picture"),
        ("none/*.png", "no picture matches this pattern"),
        ("*.txt", "no picture matches this pattern"),
        ("empty.txt", "list holds no picture"),
        ("two.csv", "none of the columns a, b names files"),
        ("bytes.txt", "Save the list as UTF-8"),
    ],
)
def test_what_means_no_picture_is_told(workplace, named, text):
    (workplace / "empty").mkdir()
    (workplace / "empty.txt").write_text("\n")
    (workplace / "two.csv").write_text("a,b\n1,2\n")
    (workplace / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=text):
        pictures_of([named])
