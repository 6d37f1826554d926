"""The texts that are not components in a new plugin: pyproject.toml, README, tests and gin files."""

from collections.abc import Sequence

from emprot_core.kinds import KINDS

PYPROJECT = """\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
description = "Components for EMPROT"
requires-python = ">=3.11"
dependencies = ["emprot"]

[project.entry-points."emprot.plugins"]
{name} = "{name}"

[tool.setuptools]
packages = ["{name}"]

[tool.setuptools.package-data]
{name} = ["py.typed"]
"""
README = """\
# {name}

Components for EMPROT.

| file | what it is |
|---|---|
{parts}

```sh
pip install -e .
pytest
mypy --strict {name}
emprot-run --check_plugin {name}
emprot-run --gin_file={gin}
```

`emprot-run --describe` shows the parameters of a component. To use one in a gin file of yours, bind it as the gin files
here do. A component of another kind is a class or a function with `@register(kind)` in a module of `{name}`.
"""
TESTS = '''\
"""The components keep the contracts of their kinds, and the gin files are sound."""

from pathlib import Path

import pytest
from emprot_core.cli import main

GIN_FILES = sorted(Path(__file__).parents[1].glob("*.gin"))


def test_every_component_keeps_its_contract(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check_plugin", "{name}"])
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize("path", GIN_FILES, ids=lambda path: path.name)
def test_a_gin_file_is_sound(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check", f"--gin_file={{path}}"])
    assert status == 0, capsys.readouterr().err
'''
PREPARE = ("tokenizer", "reader", "executor")
_MODEL = "ProteinTransformerClassificationOnly"
_BOUND = {
    "model": "Trainer.model = @{part}()\n{part}.num_clusters = %NUM_CLUSTERS\n{part}.future_horizon = %FUTURE_HORIZON",
    "loss": "Trainer.loss = @{part}()",
    "metric": "Trainer.metrics = [@metrics.TokenAccuracy(), @{part}()]",
    "hook": "Trainer.extra_hooks = [@{part}()]",
    "optimizer": "Trainer.optimizer = @{part}",
    "scheduler": "Trainer.scheduler = @{part}",
    "baseline": "Train.baselines = [@baselines.markov(), @{part}()]",
    "score": "Train.scores = [@{part}()]",
    "split": "TrajectoryWindows.split = @{part}()",
    "mixing": f"{_MODEL}.mixing = @{{part}}()",
    "attention": f"{_MODEL}.attention = @{{part}}",
    "expert": "GatedExperts.experts = [@experts.Caches(), @{part}()]",
    "tokenizer": "Prepare.tokenizers = [@{part}()]",
    "reader": "Prepare.reader = @{part}()\nPrepare.source = 'ids/*.csv'\n"
    "Prepare.tokenizers = [@tokenizers.precomputed()]\nprecomputed.num_clusters = 50",
    "job": "run.job = @{part}()",
    "launcher": "run.launcher = @{part}()",
    "executor": "Prepare.executor = @{part}()",
}
_ALONE, _OWN_MODEL = ("expert", "job", "launcher"), ("mixing", "attention")


def gin_files(name: str, kinds: Sequence[str]) -> dict[str, str]:
    """Gin files that bind the new components, by name. What cannot stand in one config has a file of its own."""
    together = [kind for kind in kinds if kind in _BOUND and kind not in (*_ALONE, *PREPARE, *_OWN_MODEL)]
    groups = {name: ("base.gin", together)}
    groups |= {f"{name}_{kind}": (_base_of(kind), [kind]) for kind in kinds if kind not in together}
    return {
        f"{file}.gin": "\n".join([_header(file, base), *(_binding(name, kind) for kind in bound), ""])
        for file, (base, bound) in groups.items()
        if bound
    }


def _base_of(kind: str) -> str:
    if kind in PREPARE:
        return "prepare.gin"
    return {"expert": "experts.gin", "job": ""}.get(kind, "base.gin")


def _header(file: str, base: str) -> str:
    included = f"\ninclude '{base}'\n" if base else ""
    return f"# {file}.gin\n#\n#   emprot-run --gin_file={file}.gin\n{included}"


def _binding(name: str, kind: str) -> str:
    functions = ("optimizer", "scheduler", "attention")
    camel = "".join(word.capitalize() for word in name.split("_"))
    part = f"{name}_{kind}" if kind in functions else f"{camel}{kind.capitalize()}"
    return _BOUND[kind].format(part=f"{KINDS[kind].folder}.{part}")
