"""How often does a study of a model against itself give a verdict, and how often is the truth found?

    python -m benchmarks.calibration [TABLE ...] [--studies 1.0]

Tables, all of them by default, each about a minute of one core; ``--studies 4`` runs four times the studies:

- ``items``: one comparison, 400 and 2,000 items, variants that do and do not change which items are right;
  and its power by how well the runs of a seed are paired;
- ``family``: whole studies of several variants, equally and very unequally noisy;
- ``looks``: studies that are looked at after 3, 5 and 8 seeds, and continued to 12 and 20;
- ``race``: 20 variants, dropped as soon as they are unlikely to be worth having;
- ``outlook``: whether the seeds named as enough are, and whether the chance of a gain worth having is right.

In ``items`` a run's accuracy varies by one point between seeds, and items go from very easy to very hard. In
the others only seeds vary, which is the hardest case for the interval; differences are in margins.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.simulated.looks import looks_table
from benchmarks.simulated.one_comparison import items_table
from benchmarks.simulated.predictions import outlook_table
from benchmarks.simulated.race import race_table
from benchmarks.simulated.whole_studies import family_table

TABLES = {
    "items": items_table,
    "family": family_table,
    "looks": looks_table,
    "race": race_table,
    "outlook": outlook_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)}; all by default")
    parser.add_argument("--studies", type=float, default=1.0, help="times the usual number of studies")
    words = parser.parse_args()
    unknown = sorted(set(words.tables) - set(TABLES))
    if unknown:
        parser.error(f"no table is called {unknown[0]!r}; there are {', '.join(TABLES)}")
    for name in words.tables or TABLES:
        start = time.process_time()
        TABLES[name](words.studies)
        print(f"{time.process_time() - start:.0f} s of processor time\n", flush=True)


if __name__ == "__main__":
    main()
