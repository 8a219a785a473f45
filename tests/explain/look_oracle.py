"""The toy networks of the reference values: every weight by a formula, all in float64.

The reference values lie beside the tests of the workplace and are passed by ``FOVEATE_ORACLES``; the tests
that need them read the copy in this folder.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
