"""Ways to judge a map, one file each; importing this package registers all of them."""

from foveate.explain.judging import agreement as agreement
from foveate.explain.judging import deletion as deletion
from foveate.explain.judging import energy as energy
from foveate.explain.judging import entropy as entropy
from foveate.explain.judging import gini as gini
from foveate.explain.judging import infidelity as infidelity
from foveate.explain.judging import insertion as insertion
from foveate.explain.judging import overlap as overlap
from foveate.explain.judging import pointing as pointing
from foveate.explain.judging import randomisation as randomisation
from foveate.explain.judging import rank as rank
from foveate.explain.judging import road as road
from foveate.explain.judging import roc_auc as roc_auc
from foveate.explain.judging import sensitivity as sensitivity
from foveate.explain.judging import top_k as top_k
