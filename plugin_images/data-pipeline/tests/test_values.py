"""Every kind of DuckDB value arrives as JSON that says the same."""

import json
import math
from typing import Any

import duckdb
import pytest
from data_pipeline_values import to_json
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("1", 1),
        ("true", True),
        ("NULL", None),
        ("1.5::DOUBLE", 1.5),
        ("'nan'::DOUBLE", None),
        ("'-inf'::DOUBLE", None),
        ("19.90::DECIMAL(9,2)", "19.90"),
        ("9007199254740991", 9_007_199_254_740_991),
        ("9007199254740993", "9007199254740993"),
        ("-9007199254740993", "-9007199254740993"),
        ("DATE '2024-02-29'", "2024-02-29"),
        ("TIMESTAMP '2024-02-29 12:30:00'", "2024-02-29T12:30:00"),
        ("TIME '12:30:00'", "12:30:00"),
        ("INTERVAL 90 SECOND", 90.0),
        ("'\\xAB\\x00'::BLOB", "ab00"),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("[1, NULL, 3]", [1, None, 3]),
        ("{'a': 1.5::DOUBLE, 'b': [DATE '2024-01-01']}", {"a": 1.5, "b": ["2024-01-01"]}),
        ("MAP {1: 'x'}", {"1": "x"}),
        ("'{\"a\": 1}'::JSON", '{"a": 1}'),
    ],
)
def test_a_value_of_each_type_becomes_json(sql: str, expected: Any) -> None:
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT {sql}").fetchone()
    assert row is not None
    values, size = to_json(row)

    assert values == [expected]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert size > 0


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.lists(_values, max_size=5))
def test_any_row_is_strict_json_and_its_size_is_not_understated(row: list[Any]) -> None:
    values, size = to_json(row)
    text = json.dumps(values, allow_nan=False, ensure_ascii=False)

    assert len(text.encode("utf-8", "surrogatepass")) <= 16 * size + 2
    assert all(not isinstance(value, float) or math.isfinite(value) for value in values)
