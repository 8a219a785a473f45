"""foveate: insert visual attention into any vision model, compare variants honestly, look at where they look.

Importing it is light: PyTorch and the rest come with the first name that needs them.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from foveate.version import __version__ as __version__

if TYPE_CHECKING:
    from foveate.compare.finished_study import Study as Study
    from foveate.compare.study import compare as compare
    from foveate.cost.count import cost as cost
    from foveate.errors import FoveateError as FoveateError
    from foveate.explain.explain import explain as explain
    from foveate.explain.judging.judge import judge as judge
    from foveate.explain.methods.explanation import explanations as explanations
    from foveate.explain.record import record as record
    from foveate.infer.load import load as load
    from foveate.infer.look import look as look
    from foveate.infer.predict import predict as predict
    from foveate.insert.insert_file import load_insert as load_insert
    from foveate.insert.insert_file import save_insert as save_insert
    from foveate.insert.sites import Site as Site
    from foveate.insert.surgery import bypass as bypass
    from foveate.insert.surgery import insert as insert
    from foveate.insert.surgery import remove as remove
    from foveate.insert.survey import sites as sites
    from foveate.mechanisms.base import mechanisms as mechanisms
    from foveate.mechanisms.facets import Cost as Cost
    from foveate.models import create_model as create_model
    from foveate.models import list_models as list_models
    from foveate.models import load_published as load_published
    from foveate.models.large.select import select as select
    from foveate.tasks.metrics.score import score as score
    from foveate.train.optimise import parameter_groups as parameter_groups
    from foveate.train.train_one import train as train
    from foveate.train.training import Training as Training


_HOME = {
    "Cost": "foveate.mechanisms.facets",
    "FoveateError": "foveate.errors",
    "Site": "foveate.insert.sites",
    "Study": "foveate.compare.finished_study",
    "Training": "foveate.train.training",
    "bypass": "foveate.insert.surgery",
    "compare": "foveate.compare.study",
    "cost": "foveate.cost.count",
    "create_model": "foveate.models",
    "explain": "foveate.explain.explain",
    "explanations": "foveate.explain.methods",
    "insert": "foveate.insert.surgery",
    "judge": "foveate.explain.judging.judge",
    "list_models": "foveate.models",
    "load": "foveate.infer.load",
    "load_insert": "foveate.insert.insert_file",
    "load_published": "foveate.models",
    "look": "foveate.infer.look",
    "mechanisms": "foveate.mechanisms",
    "parameter_groups": "foveate.train.optimise",
    "predict": "foveate.infer.predict",
    "record": "foveate.explain.record",
    "remove": "foveate.insert.surgery",
    "save_insert": "foveate.insert.insert_file",
    "score": "foveate.tasks.metrics.score",
    "select": "foveate.models.large.select",
    "sites": "foveate.insert.survey",
    "train": "foveate.train.train_one",
}
__all__ = sorted(_HOME)  # noqa: PLE0605  # one list of public names, not two


class _Package(ModuleType):
    """The package itself: some verbs share their name with the folder that holds them, and the verb wins.

    Python binds a submodule to its package when it is first imported, which would turn ``foveate.insert``
    from a function into a folder. ``from foveate.insert.spec import parse`` is not touched by this.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f'foveate has no name "{name}". It has: {", ".join(__all__)}')
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


sys.modules[__name__].__class__ = _Package
