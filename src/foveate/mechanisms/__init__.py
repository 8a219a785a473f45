"""What attends: one file a mechanism, one import line here, by family."""

from foveate.mechanisms.base import Cost as Cost
from foveate.mechanisms.base import mechanisms as mechanisms
from foveate.mechanisms.channel import se as se
