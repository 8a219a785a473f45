"""The schema of ``study.json``: every entry with its type, meaning, unit and default.

docs/study-json.md is generated from it. Entries that the schema does not know are let through when a file is
read, and are an error when one is written.
"""

from typing import Annotated, NotRequired, Required, TypedDict

from foveate.compare.report.records import Count, Entry, Number, Real

FORMAT = 3
READABLE = (1, 2, 3)  # formats 2 and 3 only add entries


class Metric(TypedDict, total=False):
    """What the study judges by."""

    name: Annotated[str, Entry("the field's name for it", "score")]
    unit: Annotated[str, Entry("of scores and differences, such as points or nats", "")]
    scale: Annotated[Real, Entry("printed value of a score of 1: 100 for shares printed in points", 1)]
    higher_is_better: Annotated[bool, Entry("false for an error or a loss", True)]
    averages: Annotated[bool | None, Entry("whether it is the mean of one score per item")]
    bounds: Annotated[
        list[Number] | None, Entry("least and greatest possible score before scaling, null without bound")
    ]
    margin: Annotated[Number, Entry("its usual margin, in the unit")]
    groups: Annotated[
        Count | None, Entry("groups of items that its pseudo-values leave out in turn", since=2)
    ]


class Question(TypedDict, total=False):
    """What the study asks."""

    mode: Annotated[str, Entry("where training starts: scratch, pretrained or branch", "scratch")]
    model: Annotated[str, Entry("the baseline's model", "")]
    data: Annotated[str, Entry("the data, as the command named it", "")]
    task: Annotated[str | None, Entry("name of the task", since=2)]
    facts: Annotated[list[str], Entry("further facts, such as the number of classes", [], since=2)]
    items_called: Annotated[str, Entry("plural for the items, such as sentences", "images", since=2)]
    classes: Annotated[list[str], Entry("names of the classes", [])]
    palette: Annotated[
        list[tuple[Count, Count, Count]] | None,
        Entry("one RGB colour a class, 0 to 255; since format 2 the cards' legend"),
    ]
    metric: Annotated[Metric, Entry("what it judges by, with the metric's own options", {}, extended=True)]
    margin: Annotated[Real, Entry("least difference worth having, in the metric's unit", 0.0)]
    level: Annotated[Real, Entry("confidence of the intervals, 0 to 1", 0.95)]
    seeds: Annotated[list[Count], Entry("the seeds", [])]
    epochs: Annotated[Count | None, Entry("epochs of a run")]
    branch_epochs: Annotated[Count | None, Entry("further epochs of each branch, in mode branch")]
    folds: Annotated[
        Count | None,
        Entry("folds of a cross-validation, which every run is; null where a run is one training", since=3),
    ]
    train_items: Annotated[Count | None, Entry("training items; with folds, of the smallest training")]
    items: Annotated[Count | None, Entry("test items; with folds, the items of all folds")]
    size: Annotated[Count | list[Count] | None, Entry("side of the images, or height and width, in pixels")]
    command: Annotated[str | None, Entry("the command that made the study")]


class Best(TypedDict):
    """The model that is kept in ``best/``."""

    variant: Annotated[str, Entry("name of the variant")]
    seed: Annotated[Count, Entry("its seed")]
    fold: NotRequired[
        Annotated[Count | None, Entry("the fold that it was not trained on, from 1; null without", since=3)]
    ]
    reason: Annotated[str, Entry("why this one")]


class Score(TypedDict, total=False):
    """The mean score of a variant, in the metric's unit."""

    mean: Annotated[Number, Entry("over the baseline's seeds and the test items")]
    per_seed: Annotated[list[Number], Entry("of each seed that it has, in the order of question.seeds", [])]
    low: Annotated[Number, Entry("lower end of its interval; null with one seed or one item")]
    high: Annotated[Number, Entry("upper end")]


class Difference(TypedDict, total=False):
    """A variant minus what it is compared with, in the metric's unit, paired by seed and test item."""

    mean: Annotated[Number, Entry("over seeds and test items")]
    low: Annotated[Number, Entry("lower end of the simultaneous interval; null with one seed or one item")]
    high: Annotated[Number, Entry("upper end")]
    p: Annotated[Number, Entry("two-sided p-value of this comparison alone")]
    p_adjusted: Annotated[Number, Entry("corrected for the number of comparisons and looks (Bonferroni)")]
    df: Annotated[Number, Entry("Satterthwaite's degrees of freedom; null if infinite")]
    detectable: Annotated[
        Number, Entry("least true difference found with 80 % power; null under three seeds")
    ]
    pairing: Annotated[Number, Entry("correlation of the two runs of a seed, -1 to 1")]
    more_seeds: Annotated[
        Count | None, Entry("further seeds expected to give a verdict; 0 if there is one, null if none would")
    ]
    seeds: Annotated[Count | None, Entry("how many seeds it rests on", since=3)]
    level: Annotated[Number, Entry("confidence of this interval alone, 0 to 1", since=3)]
    own_variance: Annotated[bool, Entry("whether it borrows no seed variance from others", False, since=3)]
    seeds_to_know: Annotated[
        Count | None,
        Entry("seeds in all that give a verdict in 8 of 10 such studies; null if none would", since=3),
    ]
    items_to_know: Annotated[
        Count | None,
        Entry("test items in all that would do so where seeds would not; null if none would", since=3),
    ]
    chance_worth: Annotated[
        Number, Entry("chance that the true gain is at least the margin, 0 to 1; null if not known", since=3)
    ]
    seed_sd: Annotated[Number, Entry("sd of one seed's difference, the sampling of items taken out", since=3)]
    item_share: Annotated[
        Number, Entry("share of the variance that more items would reduce, 0 to 1", since=3)
    ]
    item_sd: Annotated[Number, Entry("sd of one item's difference within a seed", since=3)]


class Cost(TypedDict, total=False):
    """What one item costs."""

    parameters: Annotated[Count | None, Entry("parameters of the model")]
    macs: Annotated[Count | None, Entry("multiply-adds of one item")]
    bytes: Annotated[Count | None, Entry("size of the parameters, in bytes")]


class Time(TypedDict):
    """A latency, in milliseconds."""

    median: Annotated[Real, Entry("median of all rounds")]
    low: Annotated[Real, Entry("10th percentile")]
    high: Annotated[Real, Entry("90th percentile")]


class BatchTime(Time):
    """The latency of a batch, in milliseconds."""

    images: Annotated[Count, Entry("items of the batch")]


class Latency(TypedDict):
    """How long inference takes."""

    single: Annotated[Time, Entry("of one item")]
    batch: Annotated[BatchTime, Entry("of a batch")]


class Memory(TypedDict):
    """Peak memory, in bytes."""

    inference: Annotated[Real, Entry("of inference on one batch")]
    training: Annotated[Real, Entry("of a training step")]


ClassScore = TypedDict(
    "ClassScore",
    {
        "class": Annotated[str, Entry("name of the class")],
        "items": Annotated[Count, Entry("test items that speak of it")],
        "mean": Annotated[Number, Entry("difference to the baseline; of the baseline its score")],
        "low": Annotated[Number, Entry("lower end of its interval")],
        "high": Annotated[Number, Entry("upper end")],
    },
)
ClassScore.__doc__ = "The effect on one class, in the metric's unit, with its own interval, not corrected."


ClassifiedClass = TypedDict(
    "ClassifiedClass",
    {
        "class": Annotated[str, Entry("name of the class")],
        "items": Annotated[Count, Entry("test items of it, over all seeds")],
        "precision": Annotated[Number, Entry("in percent")],
        "recall": Annotated[Number, Entry("in percent")],
        "f1": Annotated[Number, Entry("in percent")],
    },
)
ClassifiedClass.__doc__ = "How well one class is recognised."


class Pair(TypedDict):
    """How often one class was taken for another."""

    true: Annotated[str, Entry("the true class")]
    given: Annotated[str, Entry("the class that the model gave")]
    items: Annotated[Count, Entry("how often, over all seeds")]
    share: Annotated[Number, Entry("of the true class's items, in percent")]


class Confusion(TypedDict):
    """Which class was taken for which, over all seeds."""

    matrix: Annotated[
        list[list[Count]] | None,
        Entry("items by true class (row) and given class (column); null if too many"),
    ]
    by_class: Annotated[list[ClassifiedClass], Entry("every class")]
    pairs: Annotated[list[Pair], Entry("the most frequent confusions")]


class Gate(TypedDict):
    """How far one gate opened."""

    site: Annotated[str, Entry("where the mechanism sits")]
    mechanism: Annotated[str, Entry("its name")]
    openings: Annotated[list[Number], Entry("by seed, at the end: 0 closed, 1 open")]


class Epoch(TypedDict, total=False):
    """One epoch of one run."""

    epoch: Required[Annotated[Count, Entry("its number")]]
    train_loss: Annotated[Number, Entry("mean training loss")]
    losses: Annotated[dict[str, Number], Entry("mean training loss of each part of the model", {}, since=2)]
    val_score: Annotated[Number, Entry("validation score, in the metric's unit")]
    openings: Annotated[dict[str, Number], Entry("opening of each gate, by path", {})]


class Curve(TypedDict):
    """The history of one run; with folds, the mean of its trainings."""

    seed: Annotated[Count, Entry("its seed")]
    epochs: Annotated[list[Epoch], Entry("in order")]


class Figure(TypedDict):
    """A further figure on the test items."""

    name: Annotated[str, Entry("name, with the unit")]
    mean: Annotated[Number, Entry("over the seeds")]
    per_seed: Annotated[list[Number], Entry("of each seed")]


class Variant(TypedDict, total=False):
    """One row of the table."""

    name: Required[Annotated[str, Entry("its name in the report")]]
    spec: Annotated[str | None, Entry("what is inserted into the baseline's model, and where")]
    model: Annotated[str | None, Entry("the model, of a variant that is another model", since=2)]
    role: Annotated[str, Entry("baseline, variant or control", "variant")]
    control: Annotated[str | None, Entry("name of its control of equal cost")]
    verdict: Annotated[
        str,
        Entry(
            "helps enough, helps, hurts, no difference worth having, not yet known, dropped, baseline or no "
            "verdict",
            "no verdict",
        ),
    ]
    words: Annotated[str, Entry("the verdict in a sentence", "")]
    as_attention: Annotated[str | None, Entry("whether the gain is due to attention, in a sentence")]
    score: Annotated[Score | None, Entry("its score", {})]
    difference: Annotated[Difference | None, Entry("to the baseline; null for the baseline")]
    versus_control: Annotated[Difference | None, Entry("to its control")]
    cost: Annotated[Cost | None, Entry("what one item costs", {})]
    latency: Annotated[Latency | None, Entry("null if not measured")]
    memory: Annotated[Memory | None, Entry("null if not measured")]
    per_class: Annotated[list[ClassScore], Entry("effect on each class", [])]
    figures: Annotated[list[Figure], Entry("further figures", [])]
    confusion: Annotated[Confusion | None, Entry("null unless every item has one class")]
    gates: Annotated[list[Gate], Entry("how far its gates opened", [])]
    curves: Annotated[list[Curve], Entry("learning curves, one per seed", [])]


class Check(TypedDict):
    """A finding of the check of the data."""

    kind: Annotated[str, Entry("what kind of finding")]
    severity: Annotated[str, Entry("error, warning or note")]
    message: Annotated[str, Entry("the finding")]
    items: Annotated[list[str], Entry("the files or items concerned")]


class Recipe(TypedDict, total=False):
    """What it takes to repeat the study."""

    command: Annotated[str, Entry("the command", "")]
    start: Annotated[str | None, Entry("how gates start")]
    train: Annotated[dict[str, object], Entry("options of training", {})]
    versions: Annotated[dict[str, str], Entry("of Python and packages", {})]
    hardware: Annotated[dict[str, object], Entry("what it ran on", {})]
    data: Annotated[dict[str, object], Entry("origin and fingerprint of the data", {})]
    seeds: Annotated[list[Count], Entry("the seeds", [])]
    rules: Annotated[list[str], Entry("what was fixed before the first run", [])]


class Run(TypedDict, total=False):
    """One training run; also a row of runs.csv."""

    variant: Annotated[str | None, Entry("name of the variant")]
    seed: Annotated[Count | None, Entry("its seed")]
    score: Annotated[Number, Entry("on the test items, in the metric's unit")]
    seconds: Annotated[Number, Entry("time it took, in seconds")]
    images_per_second: Annotated[Number, Entry("training items a second")]
    steps: Annotated[Count | None, Entry("optimiser steps")]
    images: Annotated[Count | None, Entry("training items it saw, with repetition")]
    parameters: Annotated[Count | None, Entry("parameters of the model")]


class MapMetric(TypedDict):
    """A way to judge maps."""

    name: Annotated[str, Entry("its name, such as deletion", since=3)]
    asks: Annotated[str, Entry("what it asks, in words", since=3)]
    better: Annotated[str, Entry("which scores are better: higher or lower", since=3)]


class MapScore(TypedDict):
    """The mean score of maps over pictures."""

    mean: Annotated[Number, Entry("over the pictures; null if none has a score", since=3)]
    low: Annotated[Number, Entry("lower end of its interval", since=3)]
    high: Annotated[Number, Entry("upper end", since=3)]


class JudgedMap(TypedDict):
    """The scores of one kind of map of one model."""

    variant: Annotated[str, Entry("name of the variant", since=3)]
    map: Annotated[str, Entry("the method, or the map that knows nothing of the model", since=3)]
    scores: Annotated[list[MapScore], Entry("one for each of the metrics, in their order", since=3)]


class MapComparison(TypedDict):
    """Whether a model's map is better than one that knows nothing of the model."""

    variant: Annotated[str, Entry("name of the variant", since=3)]
    metric: Annotated[str, Entry("by which metric", since=3)]
    than: Annotated[str, Entry("what it is compared with", since=3)]
    answer: Annotated[str, Entry("yes, no or not decided", since=3)]
    words: Annotated[str, Entry("the same in words, with the interval of the difference", since=3)]


class JudgedMaps(TypedDict):
    """Whether maps of where the models look tell the truth, on the same pictures of each."""

    method: Annotated[str, Entry("how the maps are made", since=3)]
    pictures: Annotated[Count, Entry("how many test items, all of which every model gets right", since=3)]
    metrics: Annotated[list[MapMetric], Entry("how they are judged", since=3)]
    maps: Annotated[list[JudgedMap], Entry("the scores, variant by variant", since=3)]
    comparisons: Annotated[
        list[MapComparison], Entry("intervals hold at once for a variant and metric", since=3)
    ]


class Study(TypedDict, total=False):
    """The whole of study.json."""

    format: Annotated[Count, Entry("version of this schema", FORMAT)]
    foveate: Annotated[str, Entry("version of foveate", "")]
    created: Annotated[str, Entry("when, in UTC (ISO 8601)", "")]
    sentence: Annotated[str, Entry("the study's answer", "")]
    could_have_found: Annotated[str, Entry("the power of the study, in a sentence", "")]
    chance: Annotated[Number, Entry("score of always predicting the class frequencies, in the metric's unit")]
    best: Annotated[Best | None, Entry("the model that is kept")]
    question: Annotated[Question, Entry("what it asks", {})]
    variants: Annotated[list[Variant], Entry("baseline, variants and controls", [])]
    judged_maps: Annotated[
        JudgedMaps | None, Entry("null where no map can be judged, or training was short", since=3)
    ]
    checks: Annotated[list[Check], Entry("what the check of the data found", [])]
    recipe: Annotated[Recipe, Entry("what it takes to repeat it", {})]
    runs: Annotated[list[Run], Entry("every run", [])]
