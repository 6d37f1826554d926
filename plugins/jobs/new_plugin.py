"""The job that writes the beginning of a plugin: a small distribution with one component of each kind asked for."""

import keyword
import logging
import re
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from emprot_core.errors import EmprotError
from emprot_core.files import write_atomically
from emprot_core.jobs.context import RunContext
from emprot_core.kinds import KINDS
from emprot_core.registry import register

from ._scaffold import PYPROJECT, README, TESTS, gin_files

_log = logging.getLogger("emprot")
_TEMPLATES = resources.files("emprot_plugins._templates")
WITHOUT_TEMPLATE = {
    "data": "most data are a store and a split: bind those, or derive a class from data.TrajectoryWindows",
    "core": "the run and the trainer are parts of EMPROT itself",
    "object": "it is whatever plain gin registers: write @gin.register over it",
}
"""Kinds that have no template, and what to do instead."""


def kinds_with_template() -> list[str]:
    """The kinds that can be asked for."""
    return [kind for kind in KINDS if kind not in WITHOUT_TEMPLATE]


@register("job")
class NewPlugin:
    """Writes a folder with a package, its entry point, a gin file over base.gin, tests and a README.

    The folder can be installed with pip, its tests pass, and its types pass mypy --strict.
    """

    def __init__(self, name: str, kinds: Sequence[str] = ("model", "hook")):
        """
        Args:
            name: of the folder and of the package; a Python name in small letters.
            kinds: of the components, such as ["loss", "hook"].

        Raises:
            EmprotError: the name cannot be that of a new package, or a kind has no template.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
            raise EmprotError(f"{name!r} cannot name a package; use small letters, digits and _, as in my_lab")
        if not Path(name).exists() and find_spec(name) is not None:
            raise EmprotError(f"a package {name} is installed already; take another name")
        for kind in kinds:
            if kind in WITHOUT_TEMPLATE:
                raise EmprotError(f"there is no template for the kind {kind}: {WITHOUT_TEMPLATE[kind]}")
            if kind not in KINDS:
                raise EmprotError(f"{kind!r} is no kind; there are {', '.join(kinds_with_template())}")
        self._name, self._kinds = name, list(dict.fromkeys(kinds))

    def run(self, context: RunContext) -> None:
        """
        Raises:
            EmprotError: the folder exists.
        """
        folder = Path(self._name)
        if folder.exists():
            raise EmprotError(f"{folder} exists; remove it, or take another name")
        for path, text in self._files().items():
            write_atomically(folder / path, text.encode())
        first = next(iter(gin_files(self._name, self._kinds)))
        _log.info("wrote %s: %s", folder, ", ".join(self._kinds))
        _log.info("  pip install -e %s && pytest %s && emprot-run --check_plugin %s", folder, folder, self._name)
        _log.info("  emprot-run --gin_file=%s/%s", folder, first)

    def _files(self) -> dict[str, str]:
        """The text of each file by its path in the folder."""
        name = self._name
        made = {f"{name}/{kind}.py": self._named(_TEMPLATES.joinpath(f"{kind}.py").read_text()) for kind in self._kinds}
        gin = gin_files(name, self._kinds)
        lines = [
            f"| `{name}/{kind}.py` | {_summary(text)} |" for kind, text in zip(self._kinds, made.values(), strict=True)
        ]
        first = next(iter(gin))
        return {
            "pyproject.toml": PYPROJECT.format(name=name),
            "README.md": README.format(name=name, parts="\n".join(lines), gin=first),
            f"tests/test_{name}.py": TESTS.format(name=name),
            f"{name}/__init__.py": f'"""Components for EMPROT: {", ".join(self._kinds)}."""\n',
            f"{name}/py.typed": "",
            **made,
            **gin,
        }

    def _named(self, text: str) -> str:
        """A template with the name of the plugin: TemplateLoss becomes MyLabLoss, template_loss my_lab_loss."""
        camel = "".join(word.capitalize() for word in self._name.split("_"))
        return text.replace("Template", camel).replace("template_", f"{self._name}_")


def _summary(text: str) -> str:
    return text.partition('"""')[2].partition('"""')[0]
