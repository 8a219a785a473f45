"""What a model costs: parameters, multiply-adds, bytes, time and memory."""

from foveate.cost.count import cost as cost
from foveate.cost.latency import Latency as Latency
from foveate.cost.latency import measure as measure
from foveate.cost.memory import peak_memory as peak_memory
