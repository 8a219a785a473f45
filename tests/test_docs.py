"""README and docs are run: every Python block, every ``foveate`` command, every table that is generated.

A block is left out only if the line in front of it says so, with the reason:
``<!-- not run: needs your pictures -->``.
"""

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from docs import write_pages, write_study

from foveate.cli import demo
from foveate.cli.__main__ import main
from foveate.explain.methods import explanations
from foveate.mechanisms import mechanisms
from foveate.models.names import models
from foveate.tasks import tasks
from foveate.tasks.losses import losses
from foveate.tasks.metrics import metrics
from tests.compare.study_samples import brief_studies
from tests.shown import assert_shown, commands

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>[\w-]*)\n(?P<code>.*?)```", re.DOTALL)


@dataclass
class Block:
    language: str
    code: str
    line: int
    excuse: str


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer("\n" + text):
        excuse = re.fullmatch(r"<!-- not run: (.+) -->", match["before"].strip())
        line = text[: match.start("code")].count("\n") + 1
        yield Block(match["language"], match["code"], line, excuse[1] if excuse else "")


def runnable(page):
    return [block for block in blocks(page) if block.language in {"python", "console"} and not block.excuse]


# The Chinese README has the English one's code, which another test checks.
RUN = [page for page in PAGES if page.name != "README.zh-CN.md" and runnable(page)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all pages: they share decoded images, and the studies that several of them run."""
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(autouse=True)
def workplace(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FOVEATE_CACHE", str(folder / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for registry in (explanations, mechanisms, models, tasks, losses, metrics):  # a page may register its own
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_known_language(page):
    for block in blocks(page):
        assert block.language in {"python", "console", "text", "bibtex"}, f"{page.name}:{block.line}"


QUICK = {  # what a reader should use -> what takes seconds and runs the same code
    r"--epochs \d+": "--epochs 1",
    r"--seeds \d+": "--seeds 2",
    r"\bepochs=\d+": "epochs=1",
    r"\bseeds=\d+": "seeds=2",
    r"train=2000, test=2000": "size=24, train=64, val=16, test=32",
    r"train=500, val=100, test=500": "train=64, val=16, test=32",
    r"foveate demo": "foveate demo --quick",
    r"200, 300": "40, 150",  # a picture larger than a window
    r'encoder="resnet18"\).eval': 'encoder="resnet8").eval',
}


def quick(code):
    for slow, fast in QUICK.items():
        code = re.sub(slow, fast, code)
    return code


@pytest.fixture
def quick_studies(monkeypatch):
    """Leave out what takes long of a study; make the demonstration of one variant on few scenes."""
    monkeypatch.setattr(demo, "QUICK", ("scenes(size=24, classes=3, train=64, val=16, test=32)", 1))
    monkeypatch.setattr(demo, "VARIANTS", demo.VARIANTS[-1:])
    monkeypatch.setattr(demo, "QUICK_SEEDS", 2)
    with brief_studies():
        yield


def run_python(page, block, space):
    code = compile("\n" * block.line + quick(block.code), str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, space)


def run_commands(page, block, capsys):
    for words, shown in commands(quick(block.code)):
        capsys.readouterr()
        code = main(words)
        printed = capsys.readouterr()
        where = f"{page.name}:{block.line}: foveate {shlex.join(words)}"
        assert code in (0, 1), f"{where}\n{printed.err}"
        assert_shown(shown, printed.out, where)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_studies")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_blocks_run_in_order_and_print_what_is_shown(page, capsys):
    space = {"__name__": "__docs__"}
    for block in runnable(page):
        if block.language == "python":
            run_python(page, block, space)
        else:
            run_commands(page, block, capsys)


def test_a_wrong_line_would_be_found():
    assert_shown("a\n...\nc  d", "a\nb\nc d\n", "here")
    with pytest.raises(AssertionError):
        assert_shown("c\na", "a\nb\nc", "here")


def test_table_of_mechanisms_is_the_generated_one(capsys):
    main(["list", "--markdown"])
    assert capsys.readouterr().out.strip() in (ROOT / "docs" / "mechanisms.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_table_and_number_of_mechanisms_in_the_readme_are_the_generated_ones(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert write_pages.readme(text) == text, "Do: python docs/write_pages.py"
    stale = text.replace(f" {len(mechanisms) - 4} ", " 7 ").replace(f" {len(mechanisms)} ", " 7 ")
    assert write_pages.readme(stale.replace("| pairwise | ", "| pairwise | 1")) == text != stale


def test_every_family_has_well_known_members():
    rows = write_pages.families(chinese=False).splitlines()[2:]
    assert all("](docs/mechanisms/" in row for row in rows)
    assert write_pages.WELL_KNOWN <= set(mechanisms)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_table_of_the_study_is_the_generated_one(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert write_study.placed(text) == text, "Do: python docs/write_study.py FOLDER --readme"
    assert "helps enough" in write_study.short_table()


def test_every_mechanism_has_its_page_and_no_other_page_is_there():
    assert {page.stem for page in (ROOT / "docs" / "mechanisms").glob("*.md")} == set(mechanisms)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=() if n in write_pages.WELL_KNOWN else pytest.mark.slow)
        for n in sorted(mechanisms)
    ],
)
def test_page_of_a_mechanism_is_the_generated_one_and_its_code_runs(name, capsys):
    main(["show", name, "--markdown"])
    printed = capsys.readouterr().out.strip()
    page = (ROOT / "docs" / "mechanisms" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(printed), (
        f"docs/mechanisms/{name}.md is not up to date. Do: python docs/write_pages.py"
    )
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    torch.manual_seed(0)
    exec(code, {})


def test_commands_page_is_the_generated_one(capsys):
    from foveate.cli.__main__ import COMMANDS

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        main([name, "--help"])
        printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.strip().splitlines())
        assert printed in page, (
            f"docs/commands.md is not up to date for {name}. Do: python docs/write_pages.py"
        )


def headings(text):
    plain = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line.partition(" ")[0] for line in plain.splitlines() if re.match(r"#+ ", line)]


def test_chinese_readme_has_the_same_parts_and_code():
    english, chinese = (ROOT / name for name in ("README.md", "README.zh-CN.md"))
    texts = [page.read_text(encoding="utf-8") for page in (english, chinese)]
    assert headings(texts[0]) == headings(texts[1])
    assert [(b.language, b.code) for b in blocks(english)] == [(b.language, b.code) for b in blocks(chinese)]
    pictures = [re.findall(r"docs/images/[\w.-]+", text) for text in texts]
    assert pictures[0] == pictures[1] != []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_repository_lead_somewhere(page):
    for target in re.findall(
        r"(?:\]\(|src=\")(?!https?:|#|mailto:)([^)\"#]+)", page.read_text(encoding="utf-8")
    ):
        assert (page.parent / target).exists(), f"{page.name} points at {target}"


def test_pages_do_not_leave_the_readers_machine_behind():
    for page in PAGES:
        assert str(Path.home()) not in page.read_text(encoding="utf-8")


def test_every_benchmark_has_its_line():
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"`python -m benchmarks\.(\w+)`", page)
    files = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "benchmarks").glob("*.py")}
    assert sorted(listed) == sorted(name for name, text in files.items() if "__main__" in text)
