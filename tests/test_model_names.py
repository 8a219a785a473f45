"""The names that are read off the sources are those that the libraries list."""

import timm
import torchvision

from foveate.model_names import library_names


def test_every_name_of_torchvision_and_no_other():
    assert list(library_names("torchvision")) == sorted(torchvision.models.list_models())


def test_every_name_of_timm_and_no_other():
    assert list(library_names("timm")) == sorted(timm.list_models())
