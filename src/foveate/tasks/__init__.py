"""What a batch is, what the loss is, what counts as right: one file a task."""

from foveate.tasks.base import Metric as Metric
from foveate.tasks.base import Task as Task
from foveate.tasks.base import tasks as tasks
from foveate.tasks.classification import Classification as Classification
from foveate.tasks.diagnosis import Diagnosis as Diagnosis
from foveate.tasks.segmentation import Segmentation as Segmentation
