"""What a model learns, how it is judged, and how its answers look: one file per task."""

from foveate.tasks.base import Task as Task
from foveate.tasks.base import tasks as tasks
from foveate.tasks.caption import Caption as Caption
from foveate.tasks.classification import Classification as Classification
from foveate.tasks.detection import Detection as Detection
from foveate.tasks.diagnosis import Diagnosis as Diagnosis
from foveate.tasks.generation import Generation as Generation
from foveate.tasks.judged import Judged as Judged
from foveate.tasks.metric import Metric as Metric
from foveate.tasks.part import Part as Part
from foveate.tasks.question import Question as Question
from foveate.tasks.segmentation import Segmentation as Segmentation
from foveate.tasks.translation import Translation as Translation
