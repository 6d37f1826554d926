"""Checks that components keep the contracts of their kinds, on a first real batch, before the first step of a run.

Each check raises emprot_core.breach.ContractBroken, which names the component. No check changes a weight, a random
number or the state of a component: they work on copies, or in evaluation mode.
"""
