"""What can be asked of a served model, and what is refused. No page, and no gradio."""

import asyncio
import json
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch

import foveate as fv
from foveate.cli.__main__ import main
from foveate.data.picture_form import PictureForm
from foveate.errors import DataError, OptionError
from foveate.infer.find_model import FoundModel, find_model
from foveate.serve import page, page_parts
from foveate.serve.asked import AUTOMATIC
from foveate.serve.limits import Limits
from foveate.serve.served_model import BESIDE, ServedModel, served_model
from tests.serve.small_model import DATA, bomb, photo, trained


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_CACHE", str(folder / "cache"))
        trained(folder / "run")
        yield folder


@pytest.fixture(scope="module")
def served(home):
    return served_model(find_model(home / "run"), [DATA], Limits(pixels=10**6, pictures=8))


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    options = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 12, "num_heads": 2, "num_classes": 3}
    model = timm.create_model("vit_tiny_patch16_224", **options).eval()
    return ServedModel(FoundModel("vit", model, PictureForm((32, 32), (0.5,) * 3, (0.5,) * 3)))


def test_methods_and_layers_are_those_that_go_with_the_model(served, vit):
    assert (
        served.methods[0] == "grad_cam"
        and "attention" not in served.methods
        and "rollout" not in served.methods
    )
    assert vit.methods[:2] == ("grad_cam", "attention") and "rollout" in vit.methods
    assert "layer3" in served.layers("grad_cam") and served.layers("saliency") == ()
    assert vit.layers("attention") == vit.layers("rollout") == ("blocks.0.attn", "blocks.1.attn")


def test_every_method_answers_or_says_why_not(vit, tmp_path):
    """No choice of the page ends in anything but a map or one of our errors."""
    path, failed = photo(tmp_path / "a.png"), {}
    for method in vit.methods:
        if method.startswith(("rise", "score_cam", "occlusion", "smooth", "integrated")):
            continue  # slow, and the same door
        try:
            assert vit.look(path, method).pictures[0].maps
        except fv.FoveateError as error:
            failed[method] = str(error)
    assert len(failed) <= 2 and all(failed.values()), failed


def test_the_answer_is_that_of_look(served, tmp_path):
    path = photo(tmp_path / "a.png")
    found = served.look(path, "grad_cam", "layer2", 1)
    expected = fv.look(served.found, [str(path)], method="grad_cam", layer="layer2", target=1)
    np.testing.assert_array_equal(found.pictures[0].maps["grad_cam"], expected.pictures[0].maps["grad_cam"])
    assert found.pictures[0].prediction == expected.pictures[0].prediction
    shown = page_parts.answer(found)
    assert "a.png" in shown and shown.count("<img") == 1
    numbers = json.loads(b64decode(shown.partition("data:application/json;base64,")[2].partition('"')[0]))
    np.testing.assert_allclose(numbers["values"]["grad_cam"], found.pictures[0].maps["grad_cam"], rtol=1e-5)


def test_given_pictures_are_judged_with_their_masks(served):
    found = served.judge([], 6, "grad_cam")
    assert found.pictures == 6 and [*found] == ["deletion", "insertion", "pointing", "energy"]
    assert found.baselines == (*BESIDE, "mask")
    shown = page_parts.judged(found)
    assert "centre of the picture" in shown and "better than the centre of the picture" in shown


def test_own_pictures_are_judged_without_masks_and_never_more_than_allowed(served, tmp_path):
    paths = [photo(tmp_path / f"{number}.png", number) for number in range(10)]
    found = served.judge(paths, 1000, "grad_cam", AUTOMATIC, 0)
    assert found.pictures == 8 and [*found] == ["deletion", "insertion"]
    with pytest.raises(DataError, match="at least one more"):
        served.judge(paths[:1], 8, "grad_cam")


def test_what_the_page_does_not_offer_is_refused(served, tmp_path):
    path = photo(tmp_path / "a.png")
    for asked in (("rise(masks=999999)",), ("grad_cam", "conv1.weight"), ("grad_cam", AUTOMATIC, 2)):
        with pytest.raises(OptionError):
            served.look(path, *asked)


def test_a_bomb_is_refused_before_it_is_decoded_and_files_are_named_without_their_folder(served, tmp_path):
    path = bomb(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"30000x30000 pixels, more than 1,000,000") as caught:
        served.look(path, "grad_cam")
    assert str(caught.value).startswith("bomb.png") and str(tmp_path) not in str(caught.value)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    with pytest.raises(DataError, match=r"^broken\.jpg: cannot be read"):
        served.look(broken, "grad_cam")


def test_only_uploaded_files_are_taken_and_no_address_is_fetched():
    fetched = []

    class Upload:
        async def async_move_resource_to_block_cache(self, path):
            fetched.append(path)
            return path

    class RefusedError(Exception):
        def __init__(self, text, *, print_exception):
            super().__init__(text)

    upload = page._only_files(SimpleNamespace(Error=RefusedError), Upload())
    for address in ("http://example.org/a.png", "HTTPS://example.org/a.png"):
        with pytest.raises(RefusedError, match="no addresses"):
            asyncio.run(upload.async_move_resource_to_block_cache(address))
    assert asyncio.run(upload.async_move_resource_to_block_cache("/cache/a.png")) == "/cache/a.png"
    assert fetched == ["/cache/a.png"]
    files = [SimpleNamespace(path="a.png"), SimpleNamespace(path="b.png")]
    assert upload.preprocess(files[0]) == "a.png" and upload.preprocess(None) is None
    assert upload.preprocess(SimpleNamespace(root=files)) == ["a.png", "b.png"]  # no file is opened


def test_a_defect_is_told_without_its_traceback(capsys):
    def defect():
        raise ZeroDivisionError("a secret")

    told = page._told(defect)
    assert "defect" in told and "secret" not in told and "ZeroDivisionError" in capsys.readouterr().err


def test_names_stay_text():
    evil = "<script>alert(1)</script>"
    for html in (page_parts.head(evil, here=True), page_parts.wrong(evil), page_parts.empty(evil)):
        assert evil not in html and "&lt;script&gt;" in html


def test_without_gradio_the_command_says_how_to_install_it(home, capsys, monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    assert main(["serve", str(home / "run")]) == 2
    assert "pip install 'foveate[demo]'" in capsys.readouterr().err
