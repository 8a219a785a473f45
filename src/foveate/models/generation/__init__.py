"""Generators: models that draw pictures from noise and a goal, such as a class and a pose."""

from foveate.models.generation import attention_gan as attention_gan
