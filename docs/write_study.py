"""Print the table and the verdicts of a study as Markdown, for a page of ``docs/studies``.

python docs/write_study.py runs/mine
python docs/write_study.py runs/helps --readme  # and make it the one that both READMEs show
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SHOWN = ROOT / "docs" / "studies" / "scenes.json"  # the study of the READMEs: what their table needs of it
BEGIN, END = "<!-- the study of docs/studies/scenes.md -->", "<!-- end of the study -->"


def main() -> None:
    """Print the page of the study whose folder the command line names."""
    study = json.loads((Path(sys.argv[1]) / "study.json").read_text(encoding="utf-8"))
    if "--readme" in sys.argv:
        keep(study)
        for name in ("README.md", "README.zh-CN.md"):
            page = ROOT / name
            page.write_text(placed(page.read_text(encoding="utf-8")), encoding="utf-8")
    question = study["question"]
    print(f"> {study['sentence']}\n")
    head = (
        "variant",
        "parameters",
        "points",
        "difference (95 % together)",
        "against the control",
        "could have found",
        "pairing",
        "latency, one image",
        "gates",
        "verdict",
    )
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for variant in study["variants"]:
        print("| " + " | ".join(row(variant)) + " |")
    print()
    for variant in study["variants"]:
        if variant["role"] != "baseline":
            print(f"- `{variant['name']}`: {variant['words']} {variant['as_attention'] or ''}".rstrip())
    seconds = sum(run["seconds"] for run in study["runs"])
    print(
        f"\n{len(study['runs'])} runs of this table, {seconds / 60:.0f} minutes of training by the clock; ",
        end="",
    )
    train, test, (height, width) = (question[key] for key in ("train_items", "items", "size"))
    side = f"{height} px" if height == width else f"{width}x{height} px"
    print(f"{train} images to train on, {test} to test, {side}.")


def keep(study: dict[str, Any]) -> None:
    """Keep what the READMEs show of a study."""
    shown = {
        "sentence": study["sentence"],
        "variants": [
            {
                "name": v["name"],
                "score": {"mean": v["score"]["mean"]},
                "difference": v["difference"] and {n: v["difference"][n] for n in ("mean", "low", "high")},
                "verdict": v["verdict"],
            }
            for v in study["variants"]
        ],
    }
    SHOWN.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def placed(text: str) -> str:
    """Return a README with the table of the study that is kept."""
    before, rest = text.split(f"{BEGIN}\n", 1)
    return f"{before}{BEGIN}\n{short_table()}\n{END}{rest.split(END, 1)[1]}"


def short_table() -> str:
    """Return the table of the study that is kept: score, difference and verdict."""
    study = json.loads(SHOWN.read_text(encoding="utf-8"))
    lines = ["| variant | points | difference (95 %) | verdict |", "| --- | --- | --- | --- |"]
    for v in study["variants"]:
        cells = (f"`{v['name']}`", f"{v['score']['mean']:.1f}", interval(v["difference"]), v["verdict"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def row(variant: dict[str, Any]) -> list[str]:
    """Return the cells of one variant."""
    against, single = variant["versus_control"], (variant["latency"] or {}).get("single")
    own = variant["difference"]
    gates = [abs(value) for gate in variant["gates"] for value in gate["openings"]]
    return [
        f"`{variant['name']}`",
        f"{variant['cost']['parameters']:,}",
        f"{variant['score']['mean']:.2f}",
        interval(own),
        interval(against),
        f"{own['detectable']:.1f}" if own and own["detectable"] is not None else "",
        f"{own['pairing']:.2f}" if own and own["pairing"] is not None else "",
        f"{single['median']:.1f} ms" if single else "",
        f"{min(gates):.2f} to {max(gates):.2f}" if gates else "",
        variant["verdict"],
    ]


def interval(difference: dict[str, Any] | None) -> str:
    """Return a difference with its interval, or nothing."""
    if not difference or difference["low"] is None:
        return ""
    return f"{difference['mean']:+.2f} ({difference['low']:+.2f} to {difference['high']:+.2f})"


if __name__ == "__main__":
    main()
