"""The cards of a report, which ``pictures.json`` lists: one record and one template a kind of card.

A card shows how every variant answers one item. Its kind is a name of ``CARDS`` and of a template in
``templates/cards``; a new kind needs both. Images are data URIs.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, TypedDict

from foveate.compare.report.records import DAMAGED, Count, Entry, Number, Real, completed, expect_known
from foveate.errors import StudyError
from foveate.typed import Misfit, fitted


class Map(TypedDict, total=False):
    """A map of attention."""

    site: Required[Annotated[str, Entry("where the mechanism sits, or the method of fv.explain")]]
    kind: Required[
        Annotated[
            str,
            Entry(
                "weights, effect for a mechanism without a map over positions, or evidence for a map of "
                "fv.explain"
            ),
        ]
    ]
    layer: Annotated[str, Entry("the map alone, to be laid over the image turned grey", "", since=3)]
    image: Annotated[str, Entry("the map laid over the image, in formats 1 and 2", "")]


class Colour(TypedDict):
    """A colour of a legend."""

    name: Annotated[str, Entry("what it stands for", since=2)]
    colour: Annotated[list[Count], Entry("red, green and blue, 0 to 255", since=2)]


class LabelsAnswer(TypedDict):
    """The labels that one variant gives an image."""

    name: Annotated[str, Entry("name of the variant")]
    prediction: Annotated[str, Entry("the label, or several")]
    confidence: Annotated[Real, Entry("its probability, 0 to 1")]
    right: Annotated[bool, Entry("whether it is correct")]
    maps: Annotated[list[Map], Entry("of its attention")]
    true_share: NotRequired[
        Annotated[Number, Entry("probability of the true label, 0 to 1; null with several labels", since=3)]
    ]


class PixelsAnswer(TypedDict):
    """The classes that one variant gives the pixels of an image."""

    name: Annotated[str, Entry("name of the variant")]
    mask: Annotated[str, Entry("the image under the colours of the classes")]
    score: Annotated[Number, Entry("the metric on this image, in its unit; null if undefined")]
    maps: Annotated[list[Map], Entry("of its attention")]


class BoxesAnswer(TypedDict):
    """The boxes that one variant finds in an image."""

    name: Annotated[str, Entry("name of the variant", since=3)]
    boxes: Annotated[str, Entry("the image with the boxes whose score is at least 0.5", since=3)]
    score: Annotated[Number, Entry("the metric on this image, in its unit; null if undefined", since=3)]
    maps: Annotated[list[Map], Entry("of its attention", since=3)]


class TextAnswer(TypedDict, total=False):
    """The sentence that one variant answers."""

    name: Required[Annotated[str, Entry("name of the variant", since=2)]]
    answer: Required[Annotated[str, Entry("the sentence", since=2)]]
    score: Annotated[Number, Entry("the metric on this item, in its unit; null if undefined", since=2)]
    maps: Annotated[list[Map], Entry("of its attention", [], since=2)]
    words: Annotated[
        list[str], Entry("the words of the sentence, one for each row of the weights", [], since=3)
    ]
    weights: Annotated[
        list[list[Real]], Entry("what was read for each word, 0 to 1; a column an entry of read", [], since=3)
    ]


class ImageAnswer(TypedDict):
    """The images that one variant generates."""

    name: Annotated[str, Entry("name of the variant", since=2)]
    images: Annotated[list[str], Entry("the images", since=2)]


class LabelsCard(TypedDict, total=False):
    """An image that gets a label, or several."""

    kind: Annotated[str, Entry("labels", "labels", since=2)]
    item: Required[Annotated[str, Entry("name of the item")]]
    target: Annotated[str | None, Entry("the true label, or several")]
    image: Required[Annotated[str, Entry("the image")]]
    truth: Annotated[str | None, Entry("outline of where the answer is, to be laid over the images")]
    disagreement: Annotated[Number, Entry("share of the pairs of variants that disagree, 0 to 1")]
    variants: Required[Annotated[list[LabelsAnswer], Entry("the answer of each variant")]]


class PixelsCard(TypedDict, total=False):
    """An image whose pixels have classes."""

    kind: Annotated[str, Entry("pixels", "pixels", since=2)]
    item: Required[Annotated[str, Entry("name of the item")]]
    target: Annotated[str | None, Entry("its title, if it has one")]
    image: Required[Annotated[str, Entry("the image")]]
    mask: Annotated[str | None, Entry("the image under the colours of the true classes")]
    legend: Annotated[list[Colour], Entry("the colour of each class", [], since=2)]
    truth: Annotated[str | None, Entry("outline to be laid over the images")]
    disagreement: Annotated[
        Number, Entry("share of pixels on which two variants differ, mean over pairs, 0 to 1")
    ]
    variants: Required[Annotated[list[PixelsAnswer], Entry("the answer of each variant")]]


class BoxesCard(TypedDict, total=False):
    """An image in which objects are found."""

    kind: Annotated[str, Entry("boxes", "boxes", since=3)]
    item: Required[Annotated[str, Entry("name of the item", since=3)]]
    target: Annotated[str | None, Entry("its title, if it has one", since=3)]
    image: Required[Annotated[str, Entry("the image", since=3)]]
    boxes: Required[Annotated[str, Entry("the image with the true boxes", since=3)]]
    legend: Annotated[list[Colour], Entry("the colour of each class", [], since=3)]
    disagreement: Annotated[
        Number, Entry("share of the boxes that one of two variants lacks, mean over pairs, 0 to 1", since=3)
    ]
    variants: Required[Annotated[list[BoxesAnswer], Entry("the answer of each variant", since=3)]]


class TextCard(TypedDict, total=False):
    """A sentence, an image or both that is answered by a sentence, as in captioning and translation."""

    kind: Annotated[str, Entry("text", "text", since=2)]
    item: Required[Annotated[str, Entry("name of the item", since=2)]]
    source: Annotated[str | None, Entry("the sentence that goes in", since=2)]
    image: Annotated[str | None, Entry("the image that goes in", since=2)]
    reference: Annotated[list[str], Entry("sentences that would be right", [], since=2)]
    read: Annotated[list[str], Entry("the words that weights are over, if they are over words", [], since=3)]
    places: Annotated[
        list[Count] | None,
        Entry(
            "rows and columns of the image that weights are over; one more weight is a sentinel's", since=3
        ),
    ]
    disagreement: Annotated[Number, Entry("share of the pairs of variants that disagree, 0 to 1", since=2)]
    variants: Required[Annotated[list[TextAnswer], Entry("the answer of each variant", since=2)]]


class ImageCard(TypedDict, total=False):
    """Images that the variants generate."""

    kind: Annotated[str, Entry("image", "image", since=2)]
    item: Required[Annotated[str, Entry("name of the item", since=2)]]
    target: Annotated[str | None, Entry("what they should show, such as a class", since=2)]
    variants: Required[Annotated[list[ImageAnswer], Entry("the images of each variant", since=2)]]


CARDS: dict[str, Any] = {
    "labels": LabelsCard,
    "pixels": PixelsCard,
    "boxes": BoxesCard,
    "text": TextCard,
    "image": ImageCard,
}


def kind_of(card: Mapping[str, Any]) -> Any:
    """Return the kind of a card; those of format 1 do not state it."""
    return card.get("kind") or ("pixels" if card.get("mask") else "labels")


def expect_cards(plain: Any, path: Path, advice: str = DAMAGED, *, only_known: bool = False) -> None:
    """Check what ``pictures.json`` holds.

    Args:
        plain: The content.
        path: The file, for messages.
        advice: What to do, as a sentence.
        only_known: Whether an entry that the schema does not know is an error.

    Raises:
        StudyError: An entry is not what the schema says; the text names it.
    """
    try:
        for number, card in enumerate(fitted(plain, list[dict[str, Any]])):
            record = _record(card, f"{path}: [{number}]")
            fitted(card, record, f"[{number}]")
            if only_known:
                expect_known(card, record, path)
    except Misfit as misfit:
        entry = misfit.path or "its content"
        raise StudyError(f"{path}: {entry} is {misfit.got}, expected {misfit.expected}. {advice}") from None


def complete_cards(cards: Iterable[Mapping[str, Any]], question: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return cards with every entry that may be missing; in format 1 the question has the colours.

    Raises:
        StudyError: There is no template for a card's kind.
    """
    pairs = zip(question["classes"], question["palette"] or (), strict=False)
    legend = [{"name": name, "colour": colour} for name, colour in pairs]
    whole = [
        {**completed(card, _record(card, f"pictures[{number}]")), "kind": kind_of(card)}
        for number, card in enumerate(cards)
    ]
    return [card | {"legend": card["legend"] or legend} if "legend" in card else card for card in whole]


def by_kind(cards: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the cards of each kind, in the order of ``CARDS``."""
    order = list(CARDS)
    ordered = sorted(cards, key=lambda card: order.index(card["kind"]))
    return [(kind, list(group)) for kind, group in groupby(ordered, key=lambda card: str(card["kind"]))]


def _record(card: Mapping[str, Any], where: str) -> Any:
    kind = kind_of(card)
    if not isinstance(kind, str) or kind not in CARDS:
        raise StudyError(f"{where}.kind is {kind!r}, expected one of {', '.join(CARDS)}.")
    return CARDS[kind]
