"""Decisions at several looks: the laws that hold exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest

from foveate.compare.statistics.crossed_effects import components, interval
from foveate.compare.statistics.looks import Decision, Look, decide
from foveate.compare.statistics.moderation import moderate

LOOKS = (Look(3, 0.995), Look(5, 0.99), Look(8, 0.985))


def study(
    gains: Sequence[float] = (0.0, 0.01, 0.05, 0.3), seeds: int = 8, items: int = 300, rng: int = 0
) -> dict[str, np.ndarray]:
    """Return scores of a baseline, first, and one variant for each gain."""
    r = np.random.default_rng(rng)
    easy = np.clip(0.6 + 0.2 * r.normal(size=items), 0, 1)
    chance = easy + 0.01 * r.normal(size=(len(gains) + 1, seeds, 1))
    chance[1:] += np.asarray(gains)[:, None, None]
    y = (r.random(chance.shape) < chance).astype(float)
    return {"baseline": y[0]} | {f"v{m}": y[m] for m in range(1, len(y))}


def decisions(
    y: dict[str, np.ndarray], looks: Sequence[Look] = LOOKS, margin: float = 0.05, **options
) -> dict[str, Decision]:
    scores = {name: values for name, values in y.items() if name != "baseline"}
    against = dict.fromkeys(scores, y["baseline"])
    return decide(against, scores, dict.fromkeys(scores, looks), margin=margin, **options)


def assert_same(a: Decision, b: Decision) -> None:
    assert (a.seeds, a.outcome) == (b.seeds, b.outcome)
    for one, other in zip(astuple(a.difference), astuple(b.difference), strict=True):
        assert one == (other if other is None else pytest.approx(other, rel=1e-6, abs=1e-9))


@pytest.mark.parametrize("race", [False, True])
def test_the_order_of_variants_seeds_and_items_does_not_matter(race: bool):
    y, r = study(), np.random.default_rng(1)
    rows, items = [*r.permutation(3), 3 + r.permutation(2)[0], 4, 5, 7, 6], r.permutation(300)
    rows[3:5] = [4, 3]  # within a look the order of seeds is free
    found = decisions(y, race=race)
    assert len({d.outcome for d in found.values()}) > 1
    backwards = decisions(dict(reversed(y.items())), race=race)
    shuffled = decisions({name: values[rows][:, items] for name, values in y.items()}, race=race)
    for name, d in found.items():
        assert_same(d, backwards[name])
        assert_same(d, shuffled[name])


@pytest.mark.parametrize("race", [False, True])
def test_a_loss_is_a_gain_turned_over(race: bool):
    y = study()
    turned = {name: 1 - values for name, values in y.items()}
    found, mirrored = decisions(y, race=race), decisions(turned, race=race, higher_is_better=False)
    for name, d in found.items():
        m = mirrored[name]
        assert (m.seeds, m.outcome) == (d.seeds, d.outcome)
        assert m.difference.mean == pytest.approx(-d.difference.mean)
        assert (m.difference.low, m.difference.high) == pytest.approx((-d.difference.high, -d.difference.low))
        assert m.difference.chance_worth == pytest.approx(d.difference.chance_worth)


def test_one_look_is_the_interval_of_the_moderated_components():
    y = study(seeds=4)
    family = moderate({n: components(v - y["baseline"]) for n, v in y.items() if n != "baseline"})
    for name, d in decisions(y, [Look(4, 1 - 0.05 / 4)]).items():
        assert (d.difference.low, d.difference.high) == pytest.approx(interval(family[name], 1 - 0.05 / 4))
        assert d.seeds == 4 and d.outcome in ("verdict", "open")


def test_p_and_interval_agree_at_every_look():
    for rng in range(3):
        for seeds in (3, 5, 8):
            for d in decisions(study(seeds=seeds, rng=rng), margin=0.0, alpha=0.04).values():
                low, high, p = d.difference.low, d.difference.high, d.difference.p_adjusted
                assert (low > 0 or high < 0) == (p < 0.04)
                assert d.difference.level == {3: 0.995, 5: 0.99, 8: 0.985}[d.seeds]


def test_a_comparison_that_has_ended_is_not_changed_by_later_rows():
    y = study()
    early = decisions({name: values[:3] for name, values in y.items()})
    ended = [name for name, d in early.items() if d.outcome == "verdict"]
    assert ended and len(ended) < len(early)
    later = decisions(y)
    for name in ended:
        assert_same(early[name], later[name])
    changed = {n: v if n in ended else np.concatenate([v[:3], 1 - v[3:]]) for n, v in y.items()}
    for name in ended:
        assert_same(early[name], decisions(changed)[name])


def test_rows_beyond_the_last_look_reached_are_not_used():
    y = study((0.02,))
    four = decisions({name: values[:4] for name, values in y.items()})["v1"]
    three = decisions({name: values[:3] for name, values in y.items()})["v1"]
    assert four.seeds == 3 and four.outcome == "open"
    assert_same(four, three)
    longer = {"baseline": y["baseline"], "v1": y["v1"][:4]}  # the baseline may be ahead
    assert_same(decisions(longer)["v1"], three)


def test_before_its_first_look_a_comparison_is_open_on_the_seeds_that_it_has():
    two = decisions(study((0.3,), seeds=2))["v1"]
    assert (two.seeds, two.outcome, two.difference.seeds) == (2, "open", 2)
    assert two.difference.low is not None and two.difference.level == 0.995
    one = decisions(study((0.3,), seeds=1))["v1"]
    assert (one.seeds, one.outcome) == (1, "open")
    assert one.difference.low is None and one.difference.seeds_to_know is None


def test_two_seeds_give_no_verdict_but_may_drop_a_racer():
    y = study((0.3, -0.3), seeds=2)
    looks = [Look(2, 0.99), *LOOKS]
    assert [d.outcome for d in decisions(y, looks).values()] == ["open", "open"]
    raced = decisions(y, looks, race=True)
    assert [d.outcome for d in raced.values()] == ["open", "dropped"]


def test_identical_predictions_are_no_difference_worth_having_once_items_suffice():
    y = {name: np.tile(study()["baseline"], (1, 2)) for name in ("baseline", "v1", "v2")}
    for d in decisions(y).values():
        assert (d.seeds, d.outcome, d.difference.mean) == (3, "verdict", 0.0)
        assert d.difference.seed_sd == 0 and d.difference.item_share == 1 and d.difference.p_adjusted == 1
    few = {name: values[:, :20] for name, values in y.items()}
    for d in decisions(few).values():  # more seeds would not show it
        assert (d.seeds, d.outcome, d.difference.seeds_to_know) == (3, "futile", None)


def test_one_item_has_no_interval_and_never_ends():
    d = decisions(study((0.3,), items=1))["v1"]
    assert (d.seeds, d.outcome, d.difference.low) == (8, "open", None)


def test_futility_stops_what_could_not_be_known_and_costs_no_verdict_that_was_there():
    noisy = study((0.0,))
    noisy["v1"] = np.clip(noisy["v1"] + 0.4 * np.random.default_rng(0).normal(size=(8, 1)), 0, 1)
    d = decisions(noisy, margin=0.001)["v1"]
    assert (d.seeds, d.outcome) == (3, "futile")
    assert decisions(study((0.3,)))["v1"].outcome == "verdict"


def test_comparisons_may_have_their_own_looks_and_borrow_from_those_that_ended():
    y = study((0.3, 0.02))
    against = {"v1": y["baseline"], "v2": y["baseline"]}
    scores = {"v1": y["v1"][:3], "v2": y["v2"]}
    found = decide(against, scores, {"v1": LOOKS[:1], "v2": [Look(8, 0.99), Look(5, 0.9999)]}, margin=0.001)
    assert (found["v1"].seeds, found["v1"].outcome, found["v2"].seeds) == (3, "verdict", 8)
    family = moderate(
        {"v1": components(y["v1"][:3] - y["baseline"][:3]), "v2": components(y["v2"] - y["baseline"])}
    )
    ends = interval(family["v2"], 0.99)
    assert (found["v2"].difference.low, found["v2"].difference.high) == pytest.approx(ends)


def test_seeds_to_know_is_that_of_the_look_to_come():
    y = {name: values[:3] for name, values in study((0.1,)).items()}
    strict = decisions(y, LOOKS[:1], further={"v1": 0.999})["v1"].difference.seeds_to_know
    easy = decisions(y, LOOKS[:1], further={"v1": 0.9})["v1"].difference.seeds_to_know
    assert strict is not None and easy is not None and 3 < easy < strict
