"""Any value that a gin file can hold is read, written and read again as the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emprot_core.config.statements import Binding, parse
from emprot_core.config.values import assignment

PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=30),
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(value=VALUES)
def test_a_value_that_is_written_reads_as_itself(value: Any) -> None:
    text = assignment("Trainer.max_epochs", value)
    (statement,) = parse(text + "\n", "a.gin").statements
    assert isinstance(statement, Binding), statement
    assert repr(statement.value) == repr(value)
    assert assignment("Trainer.max_epochs", statement.value) == text
