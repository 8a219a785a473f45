from __future__ import annotations

from foveate.cli.drawing import draw
from foveate.explain.dataflow import Step


def step(label: str, *inputs: int, tap: bool = False) -> Step:
    return Step(label, (1, 2), inputs, tap)


def marks(steps: list[Step]) -> list[str]:
    lines = draw(steps)
    labels = iter(s.label for s in steps)
    wanted = next(labels)
    seen = []
    for line in lines:
        if wanted and wanted in line:
            seen.append(line[: line.index(wanted)].rstrip())
            wanted = next(labels, "")
        else:
            seen.append(line.rstrip())
    return seen


def test_a_chain_is_one_column() -> None:
    assert draw([step("a"), step("b", 0), step("c", 1, tap=True)]) == ["○  a  1×2", "○  b  1×2", "●  c  1×2"]


def test_a_branch_leaves_and_comes_back() -> None:
    assert marks([step("a"), step("b", 0), step("c", 0, 1)]) == ["○", "├─╮", "│ ○", "├─╯", "○"]


def test_a_line_crosses_those_that_it_passes() -> None:
    steps = [step("a"), step("b", 0), step("c", 0), step("d", 0, 2), step("e", 3, 1)]
    assert marks(steps) == ["○", "├─╮", "│ ○", "├─┼─╮", "│ │ ○", "├─┼─╯", "○ │", "├─╯", "○"]


def test_two_inputs_meet() -> None:
    assert marks([step("x"), step("g"), step("y", 0, 1)]) == ["○", "│ ○", "├─╯", "○"]


def test_lines_fit_the_terminal() -> None:
    steps = [step("a"), step("a long name " * 20, 0), step("c", 0, 1)]
    assert max(map(len, draw(steps, 60))) <= 60
    assert all(line.endswith("1×2") for line in draw(steps, 60) if "○" in line)
