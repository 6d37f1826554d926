"""The gallery: every shipped gin file, with what its header says and what came out when it was run."""

import json
from collections.abc import Iterator
from typing import Any

from pages import DOCS, GIN_CONFIGS

KEPT = DOCS / "gallery.json"
"""Figures of the last runs, by the name of the file."""
NOT_RUN = {
    "prepare.gin": "it needs trajectories of yours; prepare_sample.gin does the same with those of the sample",
    "sweep.gin": "it runs other files: four trainings in its first command",
}
"""Files that the gallery does not run, each with the reason."""


def gallery_page() -> str:
    """The text of the page."""
    known = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    lines = ["# Gallery", ""]
    lines += [
        "Every gin file that comes with EMPROT: what its header says, and what came out when its first command was run"
    ]
    lines += [
        "by `python -m pages --gallery`. Pictures of trainings show the validation loss and the NLL of the test split."
    ]
    lines += ["NLL is in bits per residue and frame; [concepts](concepts.md) explains the words. Times are CPU time."]
    for path in sorted(GIN_CONFIGS.glob("*.gin"), key=lambda path: (path.stem != "base", path.stem)):
        lines += ["", f"## {path.name} {{ #{path.stem} }}", "", "```text", *header(path.name), "```", ""]
        lines += [f"[The whole file](reference/gin_files.md#{path.stem})."]
        lines += _outcome(path.name, known.get(path.name))
    return "\n".join(lines) + "\n"


def header(name: str) -> list[str]:
    """The comment at the top of a gin file, without its signs."""
    first = (GIN_CONFIGS / name).read_text().split("\n\n")[0].splitlines()
    return [line.removeprefix("#").removeprefix(" ") for line in first]


def first_command(name: str) -> str:
    """The first command in the header of a gin file."""
    return next(line.strip() for line in header(name) if line.strip().startswith("emprot-run"))


def _outcome(name: str, known: dict[str, Any] | None) -> Iterator[str]:
    if name in NOT_RUN:
        yield f"It is not run for this page: {NOT_RUN[name]}."
        return
    if known is None:
        yield "It has not been run for this page; [results](results.md) has figures of trainings."
        return
    yield ""
    if "nll_bits" in known:
        yield from _scores(known)
    else:
        yield from ("It says at the end:", "", "```text", *known["told"], "```")
    yield ""
    yield f"It took {known['cpu_seconds']} s on {known['machine']} ({known['date']})."
    if "picture" in known:
        yield from ("", f"![What came out of {name}](pictures/gallery/{known['picture']})")


def _scores(known: dict[str, Any]) -> Iterator[str]:
    yield "| | " + " | ".join(f"h = {h}" for h in range(1, len(known["nll_bits"]) + 1)) + " |"
    yield "|---" * (len(known["nll_bits"]) + 1) + "|"
    yield "| test NLL | " + " | ".join(f"{value:.3f}" for value in known["nll_bits"]) + " |"
    if known["gain"]:
        gain = known["gain"]
        cells = [f"{b:+.3f}<br>[{low:+.3f}, {high:+.3f}]" for b, low, high in zip(*gain.values(), strict=True)]
        yield f"| gain over `{known['best_baseline']}`, with its 95 % interval | " + " | ".join(cells) + " |"
    if known["verdict"] and known["gain"]:
        yield ""
        yield f"Verdict: **{known['verdict']}**."
