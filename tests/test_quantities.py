from foveate.quantities import agreeing, duration, short


def test_numbers_for_people():
    counts = (7, 1234, 74_900, 12_246_400, 999_999)
    assert [short(n) for n in counts] == ["7", "1.23 k", "74.9 k", "12.2 M", "1 M"]
    assert [duration(s) for s in (0.2, 59, 130, 7300)] == ["<1 s", "59 s", "2 min", "2.0 h"]


def test_a_text_agrees_with_its_count():
    text = "{n} [class has|classes have] no image in {split}: [it is|they are] left out"
    assert agreeing(1, text, split="val") == "1 class has no image in val: it is left out"
    assert agreeing(0, text, split="val").startswith("0 classes have")
    assert agreeing(2, text, split="[a|b]") == "2 classes have no image in [a|b]: they are left out"
