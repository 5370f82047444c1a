"""What is particular to the lakehouse: files, processes, crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.application.ports import EntryKind, LogEntry
from decision_service.core.model.errors import Unavailable
from decision_service.warehouse import log_tables
from tests.support.logged import decision


def one(i: int, shard: int = 0) -> list[LogEntry]:
    return [LogEntry(shard, i, EntryKind.DECISIONS, decision(f"d{i}"))]


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=Path(__file__).parents[2], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(*processes: subprocess.Popen[str]) -> None:
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [(p.returncode, err) for p, (_, err) in zip(processes, outputs, strict=True) if p.returncode] == []


def files(folder: Path) -> int:
    return len(list(folder.glob("*.parquet")))


def test_two_processes_write_and_compact_the_same_tables(tmp_path: Path) -> None:
    """Two loaders with the same entries, and jobs that append, replace and compact: no row is lost or doubled."""
    code = """
import sys
from pathlib import Path
import pyarrow as pa
from decision_service.adapters.lakehouse.delta import Lakehouse
from tests.adapters.test_lakehouse import one
from decision_service.application.ports import EntryKind
lake, mine = Lakehouse(Path(sys.argv[1])), sys.argv[2]
for i in range(1, 16):
    lake.load(EntryKind.DECISIONS, one(i))
    lake.append("appended", pa.table({"who": [mine], "n": [i]}))
    lake.replace("replaced", pa.table({"who": [mine], "n": [i]}), f"who = '{mine}'")
    lake.replace("whole", pa.table({"who": [mine, mine], "n": [i, i]}))
    if i % 5 == 0:
        lake.compact()
"""
    finished(*[started(code, tmp_path, who) for who in ("left", "right")])
    lake = Lakehouse(tmp_path)
    assert lake.query("SELECT decision_id FROM decisions").num_rows == 15
    assert lake.query("SELECT DISTINCT decision_id FROM decisions").num_rows == 15
    counts = lake.query("SELECT who, count(*) AS n, sum(n) AS total FROM appended GROUP BY who ORDER BY who")
    assert [tuple(row.values()) for row in counts.to_pylist()] == [("left", 15, 120), ("right", 15, 120)]
    rows = lake.query("SELECT who, n FROM replaced ORDER BY who").to_pylist()
    assert rows == [{"who": "left", "n": 15}, {"who": "right", "n": 15}]
    assert lake.query("SELECT n FROM whole").to_pylist() == [{"n": 15}, {"n": 15}]


def test_a_killed_writer_blocks_nobody(tmp_path: Path) -> None:
    """The lock of a process that was killed while writing is free at once."""
    code = """
import sys, time
from pathlib import Path
from decision_service.adapters.lakehouse import delta
with delta._locked(Path(sys.argv[1]) / ".locks" / "decisions"):
    print("held", flush=True)
    time.sleep(60)
"""
    process = started(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()
    started_s = time.monotonic()
    assert Lakehouse(tmp_path).load(EntryKind.DECISIONS, one(1)) == 1
    assert time.monotonic() - started_s < 10


def test_compaction_leaves_running_queries_their_files(tmp_path: Path) -> None:
    """Many small files become one; a snapshot taken before still reads, for the retention."""
    lake = Lakehouse(tmp_path)
    for i in range(10):
        lake.load(EntryKind.DECISIONS, one(i + 1))
    snapshot = DeltaTable(str(tmp_path / "decisions")).to_pyarrow_dataset()
    assert len(snapshot.files) == 10
    assert lake.compact() == 0
    assert len(DeltaTable(str(tmp_path / "decisions")).file_uris()) == 1
    assert snapshot.to_table().num_rows == 10
    assert lake.query("SELECT decision_id FROM decisions").num_rows == 10


def test_files_are_dropped_after_the_retention(tmp_path: Path) -> None:
    """Merged files, the rows of forgotten customers and what a killed writer left are gone from disk."""
    lake = Lakehouse(tmp_path, retention_s=0)
    for i in range(10):
        lake.load(EntryKind.DECISIONS, one(i + 1))
    (tmp_path / "decisions" / "part-killed.parquet").write_bytes(b"half a file")
    time.sleep(0.01)  # file times have the granularity of the file system
    assert lake.compact() == 11
    assert files(tmp_path / "decisions") == 1
    lake.forget("c1")
    lake.compact()
    assert files(tmp_path / "decisions") == 0
    assert lake.query("SELECT decision_id FROM decisions").num_rows == 0
    assert lake.loaded(EntryKind.DECISIONS) == {0: 10}


def test_a_file_under_way_is_not_dropped(tmp_path: Path) -> None:
    """An unreferenced file younger than the retention may belong to a commit under way and stays."""
    lake = Lakehouse(tmp_path)
    lake.load(EntryKind.DECISIONS, one(1))
    young, old = (tmp_path / "decisions" / f"part-{name}.parquet" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"half a file")
    hour_ago = time.time() - 3600
    os.utime(old, (hour_ago, hour_ago))
    assert lake.compact() == 1
    assert young.exists()
    assert not old.exists()


def test_checkpoints_keep_the_log_short_and_the_positions(tmp_path: Path) -> None:
    """After many commits a table opens from a checkpoint, which carries the loaded positions."""
    lake = Lakehouse(tmp_path)
    lake.load(EntryKind.DECISIONS, one(7, shard=3))
    for i in range(25):
        lake.load(EntryKind.DECISIONS, one(i + 1))
    assert list((tmp_path / "decisions" / "_delta_log").glob("*.checkpoint.parquet"))
    assert Lakehouse(tmp_path).loaded(EntryKind.DECISIONS) == {0: 25, 3: 7}


ADDED = [
    "programs", "program_probability", "send_planned_at", "send_planned_at_ms", "timezone", "tokens",
    "budget_levels_json", "others", "in_audience", "others_in_audience", "global_holdout",
]  # fmt: skip


def test_a_folder_of_the_release_before_gains_the_new_columns(tmp_path: Path) -> None:
    """Tables written before a column was added read it as null, take new rows with it, and keep their positions."""
    before = log_tables.rows_of(EntryKind.DECISIONS, one(1)).drop_columns(ADDED)
    write_deltalake(
        str(tmp_path / "decisions"),
        before,
        commit_properties=CommitProperties(app_transactions=[Transaction("shard-0", 1)]),
    )
    lake = Lakehouse(tmp_path)
    sql = "SELECT decision_id, programs, tokens, others, timezone FROM decisions ORDER BY decision_id"
    old = {"decision_id": "d1", "programs": None, "tokens": None, "others": None, "timezone": None}
    assert lake.query(sql).to_pylist() == [old]
    assert lake.query("SELECT decision_id FROM decision_facts").num_rows == 1
    assert lake.query("SELECT in_audience FROM candidate_facts").to_pylist() == [{"in_audience": None}]
    assert lake.load(EntryKind.DECISIONS, [*one(1), *one(2)]) == 1
    new = {"decision_id": "d2", "programs": ["spring"], "tokens": [], "others": [], "timezone": ""}
    assert lake.query(sql).to_pylist() == [old, new]
    lake.compact()
    assert lake.query(sql).to_pylist() == [old, new]


def test_jobs_add_columns_where_they_replace_rows(tmp_path: Path) -> None:
    """Replacing some rows of a table that lacks a column adds it; rows that stay have null there."""
    lake = Lakehouse(tmp_path)
    lake.append("sizes", pa.table({"name": ["a", "b"]}))
    lake.replace("sizes", pa.table({"name": ["b"], "n": [2]}), "name = 'b'")
    rows = lake.query("SELECT name, n FROM sizes ORDER BY name").to_pylist()
    assert rows == [{"name": "a", "n": None}, {"name": "b", "n": 2}]


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """A broken folder is reported as the warehouse being unavailable, so that the loader tries again."""
    (tmp_path / "file").write_text("not a folder")
    lake = Lakehouse(tmp_path / "file")
    with pytest.raises(Unavailable):
        lake.append("n", pa.table({"n": [1]}))
    (tmp_path / "warehouse" / "decisions" / "_delta_log").mkdir(parents=True)
    (tmp_path / "warehouse" / "decisions" / "_delta_log" / f"{0:020}.json").write_text("{broken")
    with pytest.raises(Unavailable):
        Lakehouse(tmp_path / "warehouse").query("SELECT decision_id FROM decisions")
