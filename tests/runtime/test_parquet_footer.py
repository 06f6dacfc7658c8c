"""The footer of Parquet files, read without Arrow: what Arrow says of sound files, errors for all others."""

from __future__ import annotations

import io
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretrain.runtime.parquet_footer import column_chunks
from foretrain.runtime.reading import load_table


def written(rows: int, **options: object) -> bytes:
    table = pa.table(
        {
            "text": [f"network {row % 7}" for row in range(rows)],
            "numbers": np.arange(rows) % 5 + 0.5,
            "lists": [list(range(row % 4)) for row in range(rows)],
            "flags": [row % 2 == 0 for row in range(rows)],
            "nested": [{"a": row, "b": [None, "x"]} for row in range(rows)],
        }
    )
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"a key": "a value"}), file, **options)
    return file.getvalue()


OPTIONS = [{}, {"row_group_size": 3}, {"compression": "gzip", "version": "1.0"}, {"write_statistics": False}]


@pytest.mark.parametrize("options", [*OPTIONS, {"store_schema": False, "write_page_index": True}])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_column_chunks_are_those_of_arrow(options, rows: int):
    content = written(rows, **options)
    metadata = pq.read_metadata(io.BytesIO(content))
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    expected = [group.column(place) for group in groups for place in range(group.num_columns)]
    found = column_chunks(io.BytesIO(content))
    assert [tuple(chunk) for chunk in found] == [(each.num_values, each.total_uncompressed_size) for each in expected]


def test_a_file_of_pandas_is_read_as_pandas_reads_it():
    table = pd.DataFrame({"a": ["x", None, "y"], "b": [1.0, np.nan, 3.0]})
    file = io.BytesIO()
    table.to_parquet(file)
    pd.testing.assert_frame_equal(load_table(file), pd.read_parquet(file))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"\xff" * 100 + b"PAR1", b"PAR1\xfc\xff\xff\xffPAR1"])
def test_what_is_no_parquet_file_is_refused(content: bytes):
    with pytest.raises((ValueError, LookupError)):
        column_chunks(io.BytesIO(content))


def test_damaged_footers_end_in_errors_and_soon():
    sound, draw = written(4), random.Random(0)
    footer = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    for _ in range(500):
        content = bytearray(sound)
        for _ in range(draw.choice([1, 2, 5])):
            content[draw.randrange(footer, len(sound) - 8)] = draw.randrange(256)
        try:
            column_chunks(io.BytesIO(bytes(content)))
        except (ValueError, LookupError, TypeError):
            continue


def test_a_column_chunk_that_ends_arrow_is_refused():
    """pyarrow's own ``metadata.row_group(0).column(0)`` ends the process with this file."""
    file = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array([1.0, 2.0]), "b": ["x", "y"]}), file)
    content = bytearray(file.getvalue())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    # the flag of the schema that lets the first column be empty: its histogram of levels has an entry too many then
    place = content.index(b"\x15\x0a\x25\x02", footer) + 3
    content[place] = 0
    with pytest.raises(OSError, match="histogram"):
        load_table(io.BytesIO(bytes(content)))
