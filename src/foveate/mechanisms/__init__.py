"""What attends: one file a mechanism, one import line here, by family."""

from foveate.mechanisms.base import Cost as Cost
from foveate.mechanisms.base import mechanisms as mechanisms
from foveate.mechanisms.channel import eca as eca
from foveate.mechanisms.channel import se as se
from foveate.mechanisms.label import csra as csra
from foveate.mechanisms.mixed import cbam as cbam
from foveate.mechanisms.mixed import cbam_pool as cbam_pool
from foveate.mechanisms.mixed import coordinate as coordinate
from foveate.mechanisms.mixed import scse as scse
from foveate.mechanisms.pairwise import bottleneck as bottleneck
from foveate.mechanisms.pairwise import channel as channel
from foveate.mechanisms.pairwise import criss_cross as criss_cross
from foveate.mechanisms.pairwise import dual as dual
from foveate.mechanisms.pairwise import multi_head as multi_head
from foveate.mechanisms.pairwise import non_local as non_local
from foveate.mechanisms.pairwise import position as position
from foveate.mechanisms.spatial import attention_pool as attention_pool
from foveate.mechanisms.spatial import input_gate as input_gate
from foveate.mechanisms.spatial import spatial as spatial
