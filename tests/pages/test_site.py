"""Everything that a user can name has a page, and every page has a place in the navigation."""

import re
import tomllib
from pathlib import Path

import pytest

from emprot_core import registry
from emprot_core.config.docstrings import meanings
from emprot_core.config.signature import bindable
from emprot_core.kinds import KINDS
from pages import DOCS, GIN_CONFIGS, ROOT
from pages.components import anchor, page_of_kind, parts
from pages.links import broken_links
from pages.listings import flags
from pages.markdown import as_markdown, escaped, notebook_page
from pages.sources import ALSO, generated_pages, linked_within_the_site

NOT_IN_NAV = ("benchmarks/results/",)
"""Pages that another page leads to."""


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return generated_pages()


def leaves(entries: object) -> list[str]:
    """The pages of a navigation."""
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [page for value in values for page in leaves(value)]


def nav() -> list[str]:
    return leaves(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])


def test_every_page_has_a_line_in_nav_of_zensical_toml_and_every_line_a_page(generated) -> None:
    written = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    others = {name for name in ALSO if name.endswith(".md")}
    pages = written | others | set(generated)
    in_nav = nav()
    assert not pages - set(in_nav), "these pages need a line in nav of zensical.toml"
    assert not set(in_nav) - pages, "nav of zensical.toml names pages that are not there"
    assert len(in_nav) == len(set(in_nav))


def test_every_part_and_every_parameter_has_its_place_and_meaning_in_the_reference(generated) -> None:
    for entry in parts():
        page = generated[page_of_kind(entry.kind)]
        section = page.partition(f"{{ #{anchor(entry)} }}")[2].partition("\n## ")[0]
        assert section, f"{page_of_kind(entry.kind)} lacks {entry.name}"
        for name in bindable(entry):
            meaning = f":   {escaped(meanings(entry)[name])}"
            assert re.search(rf"^`{name}`.*\n{re.escape(meaning)}$", section, re.MULTILINE), f"{entry.name}.{name}"


def test_the_reference_says_what_a_loss_reads_and_gives(generated) -> None:
    page = generated["reference/python.md"]
    for line in (
        "    input_cluster_ids: Tensor  # (B, T, N) long, the history, MISSING_ID where unknown",
        "    times: Tensor  # (B, T) float, ns; zeros where unknown",
        "    weight: Tensor  # () float32, the sum of the weights applied",
        "    def __call__(self, outputs: Outputs, batch: Batch) -> LossTerms: ...",
    ):
        assert line in page.splitlines()
    assert "\nOutputs of a model by name: cluster\\_logits (B, F, N, C)" in page
    assert "(*args, **kwargs)" not in page
    assert "### _" not in page


def test_a_page_of_the_reference_has_each_anchor_once(generated) -> None:
    for name, text in generated.items():
        anchors = re.findall(r"\{ #(\S+) \}", text)
        assert len(anchors) == len(set(anchors)), name


def test_every_flag_and_gin_file_has_a_heading(generated) -> None:
    missing = [flag for flag in flags() if f"{{ #{flag.strip('-')} }}" not in generated["reference/command_line.md"]]
    assert "--gin_file" in flags()
    assert not missing
    for path in GIN_CONFIGS.glob("*.gin"):
        for page in ("reference/gin_files.md", "gallery.md"):
            assert f"## {path.name} {{ #{path.stem} }}" in generated[page]


def test_every_kind_of_the_registry_has_a_page(generated) -> None:
    used = {entry.kind for entry in registry.entries()} & (set(KINDS) - {"object"})
    assert {page_of_kind(kind) for kind in used} <= set(generated)


def test_links_stay_right_where_docs_is_the_top() -> None:
    assert linked_within_the_site("[a](docs/x.md#b) [b](#c)", Path("README.md")) == "[a](x.md#b) [b](#c)"
    assert linked_within_the_site("[a](../../docs/x.md)", Path("benchmarks/results/a.md")) == "[a](../../x.md)"
    assert linked_within_the_site("[a](../../check)", Path("docs/decisions/a.md")) == "[a](../check)"
    assert linked_within_the_site("[a](https://a.b/docs/c)", Path("docs/a.md")) == "[a](https://a.b/docs/c)"


def test_a_broken_link_a_missing_anchor_and_a_missing_picture_are_named(tmp_path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="x"></h1><a href="b.html#y"></a><a href="c.html"></a><img src="d.png">')
    (tmp_path / "b.html").write_text('<a href="a.html#x"></a><a href="https://example.org"></a>')
    told = list(broken_links(tmp_path))
    assert [line.split(" links to ")[1].split(",")[0].split(":")[0] for line in told] == ["b.html#y", "c.html", "d.png"]


def test_docstrings_become_markdown() -> None:
    lines = ["a_b < 1, `a_b`", "", "    x[i]", "", "Raises:", "    ValueError: never.", "        Or so."]
    told = [line for line in as_markdown(lines) if line]
    assert told == [r"a\_b &lt; 1, `a_b`", "```text", "x[i]", "```", "**Raises**", "- `ValueError`: never.", "  Or so."]


def test_a_notebook_becomes_a_page() -> None:
    page = notebook_page(DOCS / "train_and_judge.ipynb")
    assert page.startswith("# Train and judge")
    assert "```python\nimport emprot_core\n" in page
