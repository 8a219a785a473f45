from foveate.quantities import duration, short


def test_numbers_for_people():
    counts = (7, 1234, 74_900, 12_246_400, 999_999)
    assert [short(n) for n in counts] == ["7", "1.23 k", "74.9 k", "12.2 M", "1 M"]
    assert [duration(s) for s in (0.2, 59, 130, 7300)] == ["<1 s", "59 s", "2 min", "2.0 h"]
