"""The kinds of components: one table of where each is filed, how it is bound, and which contract it fulfils."""

import sys
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A kind of component.

    Attributes:
        folder: the part of the gin selector before the name, "" for none.
        contracts: a parameter with this annotation wants a component of this kind. They are given as
            module:name, so that nothing is imported here.
        late: parameters that the framework gives when it calls the component, in their order. A kind that has some is
            bound without parentheses, and gin files cannot bind these.
        needs: what they are, for a person.
    """

    folder: str
    contracts: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    needs: str = ""


_C = "emprot_core.contracts:"
KINDS = {
    "model": Kind("models", (f"{_C}Model", f"{_C}FactoredModel")),
    "expert": Kind("experts", (f"{_C}Expert",)),
    "mixing": Kind("mixings", (f"{_C}Mixing",)),
    "attention": Kind(
        "attention", (f"{_C}Attention",), ("q", "k", "v", "mask", "bias", "dropout"), "queries, keys and values"
    ),
    "loss": Kind("losses", (f"{_C}Loss",)),
    "optimizer": Kind("optimizers", (f"{_C}Optimizer",), ("named_parameters",), "the model's parameters"),
    "scheduler": Kind(
        "schedulers", (f"{_C}Scheduler",), ("optimizer", "num_steps"), "the optimizer and the number of steps"
    ),
    "metric": Kind("metrics", (f"{_C}Metric",)),
    "score": Kind("scores", (f"{_C}Score",)),
    "baseline": Kind("baselines", (f"{_C}Baseline",)),
    "data": Kind("data", (f"{_C}Data",)),
    "split": Kind("splits", (f"{_C}DataSplit",)),
    "tokenizer": Kind("tokenizers", (f"{_C}Tokenizer",)),
    "reader": Kind("readers", (f"{_C}Reader",)),
    "hook": Kind("hooks", ("emprot_core.hooks.base:Hook",)),
    "job": Kind("jobs", (f"{_C}Job",)),
    "launcher": Kind("launchers", (f"{_C}Launcher",)),
    "executor": Kind("executors", (f"{_C}Executor",)),
    "core": Kind(""),  # run and Trainer: what gin files bind without a folder
    "object": Kind(""),  # what plain gin filed: a selector of its own, and no contract
}


def contract_kind(annotation: Any) -> str | None:
    """The kind of component that a parameter with this annotation wants; None where it is no contract."""
    for name, kind in KINDS.items():
        for contract in kind.contracts:
            module_name, _, attribute = contract.partition(":")
            # An annotation can only be a contract whose module is imported, so nothing is imported here.
            wanted = getattr(sys.modules.get(module_name), attribute, None)
            if wanted is not None and annotation == wanted:
                return name
    return None
