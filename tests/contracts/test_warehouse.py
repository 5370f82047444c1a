"""What every form of the Warehouse port does."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from decision_service.adapters.lakehouse.delta import Lakehouse
from decision_service.adapters.memory.warehouse import MemoryWarehouse
from decision_service.application.ports import EntryKind, LogEntry, Warehouse
from decision_service.contract import codec
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Group
from decision_service.core.model.record import ALL_PROGRAMS, Candidate, Reservation, Token
from decision_service.core.model.values import NO_ACTION
from decision_service.warehouse import columns, log_tables, tables
from decision_service.warehouse.views import VIEWS
from tests.support.logged import T0, activation, decision, event, outcome


@pytest.fixture(params=["memory", "lakehouse"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """Each form of the warehouse, empty."""
    return MemoryWarehouse() if request.param == "memory" else Lakehouse(tmp_path / "warehouse")


def entries(*bodies: object, shard: int = 0, first: int = 1) -> list[LogEntry]:
    kind = EntryKind.DECISIONS
    return [LogEntry(shard, first + i, kind, body) for i, body in enumerate(bodies)]  # type: ignore[arg-type]


def column(rows: pa.Table, name: str) -> list[object]:
    return rows.column(name).to_pylist()


def test_a_decision_reads_back_as_logged(warehouse: Warehouse) -> None:
    """Every column of a loaded decision holds what the record says, and the record itself is whole."""
    record = decision("d1")
    assert warehouse.load(EntryKind.DECISIONS, entries(record)) == 1
    names = ", ".join(f'"{name}"' for name in log_tables.DECISIONS.schema.names)
    rows = warehouse.query(f"SELECT {names} FROM decisions")
    [row] = rows.to_pylist()
    assert codec.decode_record(row.pop("record")) == record
    assert row.pop("decided_at").timestamp() * 1000 == T0
    assert row.pop("lease_expires_at").timestamp() * 1000 == T0 + 900_000
    assert row.pop("send_planned_at").timestamp() * 1000 == T0
    assert columns.values_from_json(row.pop("features_json")) == record.features.values
    assert row == {
        "decision_id": "d1", "request_id": "r-d1", "customer_id": "c1", "program": "spring", "program_version": 3,
        "ledger_id": None, "policy_version": 2,
        "model_name": "nba-spring", "model_version": "7", "encoder_version": "1",
        "decided_at_ms": T0, "group": "TREATMENT", "group_pinned": False, "learning_mode": "ONLINE",
        "policy": "MODEL", "action": "email_a", "channel": "email", "probability": 0.75, "predicted_reward": 0.2,
        "n_feasible": 2, "actions": ["email_a", NO_ACTION], "probabilities": [0.75, 0.25],
        "predicted_rewards": [0.2, None], "apprentice_probabilities": [None, None],
        "exclusions": [{"action": "sms_b", "reason": "FREQUENCY_CAP", "detail": "weekly"}],
        "features_status": "SERVED", "feature_times_json": f'{{"profile":{T0 - 1000}}}', "stale_views": ["orders"],
        "features_unread": [],
        "context_json": '{"page":"home","vip":null}', "live_json": '{"views_1d":2}', "requested_channels": [],
        "draw": 0.1, "drawn": "email_a", "send_at": None, "degradations": ["FEATURES_STALE"], "trainable": True,
        "encoding_digest": "abc", "timings_json": '{"total":120}', "log_shard": 0, "log_sequence": 1,
        "programs": ["spring"], "program_probability": 1.0, "send_planned_at_ms": T0, "timezone": "",
        "tokens": [], "budget_levels_json": "{}", "others": [],
        "in_audience": None, "others_in_audience": [], "global_holdout": None,
    }  # fmt: skip


def test_an_arbitrated_decision_says_who_competed(warehouse: Warehouse) -> None:
    """The probability is over the actions of all programs; losers, tokens, levels and zone have their columns."""
    plain = decision("d1")
    loser = Candidate(
        "autumn",
        4,
        0.2,
        1.5,
        Group.HOLDOUT,
        plain.learning_mode,
        plain.policy,
        None,
        plain.features,
        {},
        (),
        (),
        in_audience=False,
    )
    record = replace(
        plain,
        request=replace(plain.request, programs=(ALL_PROGRAMS,)),
        program_probability=0.8,
        others=(loser,),
        in_audience=True,
        global_holdout=False,
        timezone="Asia/Kolkata",
        budget_levels={"/mails@2026-03-10": 7},
        reservation=Reservation(T0 + 900_000, T0 + 60_000, (Token("/mails", "2026-03-10", 1),)),
    )
    warehouse.load(EntryKind.DECISIONS, entries(record))
    names = "programs, program_probability, probability, probabilities, timezone, tokens, others, send_planned_at_ms"
    names += ", in_audience, others_in_audience, global_holdout"
    [row] = warehouse.query(f"SELECT {names}, budget_levels_json FROM decisions").to_pylist()
    assert row.pop("probability") == pytest.approx(0.6)
    assert row == {
        "programs": ["*"], "program_probability": 0.8, "probabilities": [0.75, 0.25], "timezone": "Asia/Kolkata",
        "tokens": [{"budget": "/mails", "period": "2026-03-10", "amount": 1}],
        "others": [{"program": "autumn", "program_version": 4, "probability": 0.2, "score": 1.5, "group": "HOLDOUT"}],
        "in_audience": True, "others_in_audience": [False], "global_holdout": False,
        "send_planned_at_ms": T0 + 60_000, "budget_levels_json": '{"/mails@2026-03-10":7}',
    }  # fmt: skip
    sql = 'SELECT program, program_version, "group", in_audience, decided FROM candidate_facts ORDER BY program'
    assert [tuple(row.values()) for row in warehouse.query(sql).to_pylist()] == [
        ("autumn", 4, "HOLDOUT", False, False),
        ("spring", 3, "TREATMENT", True, True),
    ]


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        (EntryKind.ACTIVATIONS, activation("d1"), {"decision_id": "d1", "status": "SENT", "at_ms": T0 + 1000}),
        (EntryKind.OUTCOMES, outcome("o1", 2.0, value=9.5), {"outcome_id": "o1", "value": 9.5, "decision_id": None}),
        (EntryKind.EVENTS, event("e1"), {"event_id": "e1", "attributes_json": '{"page":"home"}'}),
    ],
)
def test_each_kind_has_its_table(warehouse: Warehouse, kind: EntryKind, body: object, key: dict[str, object]) -> None:
    """Activations, outcomes and events go to tables of their own with the documented columns."""
    warehouse.load(kind, [LogEntry(2, 5, kind, body)])  # type: ignore[arg-type]
    names = ", ".join(tables.TABLES[kind.value].schema.names)
    [row] = warehouse.query(f"SELECT {names} FROM {kind.value}").to_pylist()
    assert {name: row[name] for name in key} == key
    assert (row["log_shard"], row["log_sequence"]) == (2, 5)
    assert warehouse.tables() == [kind.value]


def test_loading_again_writes_nothing(warehouse: Warehouse) -> None:
    """Entries at or below the last loaded sequence of their shard are skipped, shard by shard and kind by kind."""
    warehouse.load(EntryKind.DECISIONS, entries(decision("d1"), decision("d2")))
    assert warehouse.loaded(EntryKind.DECISIONS) == {0: 2}
    again = entries(decision("d1"), decision("d2"), decision("d3")) + entries(decision("e1"), shard=3)
    assert warehouse.load(EntryKind.DECISIONS, again) == 2
    assert warehouse.load(EntryKind.DECISIONS, again) == 0
    assert warehouse.load(EntryKind.DECISIONS, []) == 0
    assert warehouse.loaded(EntryKind.DECISIONS) == {0: 3, 3: 1}
    assert warehouse.loaded(EntryKind.OUTCOMES) == {}
    ids = column(warehouse.query("SELECT decision_id FROM decisions ORDER BY decision_id"), "decision_id")
    assert ids == ["d1", "d2", "d3", "e1"]


def test_large_sequences_are_kept(warehouse: Warehouse) -> None:
    """A sequence may use all of a signed 64-bit integer."""
    warehouse.load(EntryKind.DECISIONS, entries(decision("d1"), first=2**63 - 1))
    assert warehouse.loaded(EntryKind.DECISIONS) == {0: 2**63 - 1}


def test_tables_that_do_not_exist_read_as_empty(warehouse: Warehouse) -> None:
    """Every documented table and view can be queried before anything was loaded; others are an error."""
    assert warehouse.tables() == []
    for name, schema in [(t.name, t.schema) for t in tables.TABLES.values()]:
        rows = warehouse.query(f"SELECT * FROM {name}")
        assert rows.num_rows == 0
        assert rows.schema.names == schema.names
    for name, view in VIEWS.items():
        assert warehouse.query(f"SELECT * FROM {name}").schema.names == list(view.columns)
    with pytest.raises(InvalidRequest, match="nowhere"):
        warehouse.query("SELECT a FROM nowhere")


def test_parameters_are_named(warehouse: Warehouse) -> None:
    """Named parameters reach the query with their types; a missing one is an error."""
    warehouse.load(EntryKind.DECISIONS, entries(decision("d1"), decision("d2")))
    sql = "SELECT decision_id FROM decisions WHERE decision_id = $id AND list_contains($programs, program)"
    assert warehouse.query(sql, {"id": "d2", "programs": ["spring"]}).num_rows == 1
    with pytest.raises(InvalidRequest, match="programs"):
        warehouse.query(sql, {"id": "d2"})


@pytest.mark.parametrize(
    "sql", ["SELECT nonsense", "SELEC 1", "SELECT * FROM read_text('/etc/hostname')", "COPY (SELECT 1) TO '/tmp/x.csv'"]
)
def test_a_wrong_query_is_the_callers_error(warehouse: Warehouse, sql: str) -> None:
    """SQL that does not parse, names what is not there, or reaches outside the warehouse is refused."""
    with pytest.raises(InvalidRequest):
        warehouse.query(sql)


def test_replace_and_append_own_tables(warehouse: Warehouse) -> None:
    """Replacing touches the rows that match only, appending adds; both create the table."""
    warehouse.append("sizes", pa.table({"name": ["a", "b"], "n": [1, 2]}))
    warehouse.append("sizes", pa.table({"name": ["c"], "n": [3]}))
    warehouse.replace("sizes", pa.table({"name": ["b", "b2"], "n": [20, 21]}), "n >= 2 AND n < 3 OR n >= 20")
    rows = warehouse.query("SELECT name, n FROM sizes ORDER BY n").to_pylist()
    assert [tuple(row.values()) for row in rows] == [("a", 1), ("c", 3), ("b", 20), ("b2", 21)]
    with pytest.raises(InvalidRequest, match="match"):
        warehouse.replace("sizes", pa.table({"name": ["z"], "n": [1]}), "n >= 20")
    warehouse.replace("sizes", pa.table({"name": ["z"], "n": [1]}).slice(0, 0), "n >= 20")
    assert warehouse.query("SELECT name FROM sizes").num_rows == 2
    warehouse.replace("sizes", pa.table({"other": [1.5]}))
    assert warehouse.query("SELECT * FROM sizes").to_pylist() == [{"other": 1.5}]
    warehouse.replace("fresh", pa.table({"n": [1]}), "n = 1")
    assert warehouse.tables() == ["fresh", "sizes"]


def test_a_where_clause_skips_nulls(warehouse: Warehouse) -> None:
    """A row for which the predicate is null does not match and stays."""
    warehouse.append("sizes", pa.table({"n": [1, None, 3]}))
    warehouse.replace("sizes", pa.table({"n": [4]}), "n >= 2")
    assert column(warehouse.query("SELECT n FROM sizes ORDER BY n NULLS LAST"), "n") == [1, 4, None]


def test_columns_of_documented_tables_are_checked(warehouse: Warehouse) -> None:
    """Rows for a documented table must have its columns; all that is wrong is named at once."""
    rows = tables.rows_from("program_versions", [{"program": "p", "version": 1}]).drop_columns(["note", "author"])
    with pytest.raises(InvalidRequest, match=r"program_versions.author: missing; program_versions.note: missing"):
        warehouse.append("program_versions", rows)
    assert warehouse.tables() == []


def test_forgetting_a_customer_deletes_every_row(warehouse: Warehouse) -> None:
    """No table keeps a row of a forgotten customer, others keep theirs, and nothing is loaded again."""
    name = "o'brien"
    batch = entries(decision("d1", name), decision("d2"))
    warehouse.load(EntryKind.DECISIONS, batch)
    warehouse.load(EntryKind.OUTCOMES, [LogEntry(0, 3, EntryKind.OUTCOMES, outcome("o1", 1, name))])
    warehouse.append("customers", pa.table({"customer_id": [name, None], "country": ["IE", "FR"]}))
    warehouse.append("countries", pa.table({"country": ["IE"]}))
    assert warehouse.forget(name) == 3
    assert warehouse.forget(name) == 0
    assert column(warehouse.query("SELECT customer_id FROM decisions"), "customer_id") == ["c1"]
    assert warehouse.query("SELECT outcome_id FROM outcomes").num_rows == 0
    assert warehouse.query("SELECT country FROM customers").to_pylist() == [{"country": "FR"}]
    assert warehouse.query("SELECT country FROM countries").num_rows == 1
    assert warehouse.load(EntryKind.DECISIONS, batch) == 0


def test_compaction_changes_no_answer(warehouse: Warehouse) -> None:
    """After compaction the rows and the loaded positions are what they were."""
    for i in range(10):
        warehouse.load(EntryKind.DECISIONS, entries(decision(f"d{i}"), first=i + 1))
    sql = "SELECT decision_id, log_sequence FROM decisions ORDER BY log_sequence"
    before = warehouse.query(sql)
    warehouse.compact()
    assert warehouse.query(sql) == before
    assert warehouse.loaded(EntryKind.DECISIONS) == {0: 10}
    assert warehouse.load(EntryKind.DECISIONS, entries(decision("d9"), first=10)) == 0


def test_threads_share_a_warehouse(warehouse: Warehouse) -> None:
    """Queries, appends and compactions from several threads at once neither fail nor lose rows."""
    warehouse.append("n", pa.table({"thread": [-1], "n": [0]}))
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for n in range(6):
                warehouse.append("n", pa.table({"thread": [thread], "n": [n]}))
                mine = warehouse.query("SELECT n FROM n WHERE thread = $thread ORDER BY n", {"thread": thread})
                assert column(mine, "n") == list(range(n + 1))
            warehouse.compact()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert warehouse.query("SELECT n FROM n").num_rows == 19


def test_decision_facts_has_one_row_per_decision(warehouse: Warehouse) -> None:
    """The view shows the latest activation, and the reward of the current version only."""
    warehouse.load(EntryKind.DECISIONS, entries(decision("d1"), decision("d2", action=NO_ACTION)))
    warehouse.load(
        EntryKind.ACTIVATIONS,
        [
            LogEntry(0, 3, EntryKind.ACTIVATIONS, activation("d1", "FAILED", at_s=1)),
            LogEntry(0, 4, EntryKind.ACTIVATIONS, activation("d1", "SENT", at_s=2)),
        ],
    )
    reward = {"decision_id": "d1", "program": "spring", "matured": True, "n_outcomes": 1, "learnable": True}
    versions = [{**reward, "reward_version": "1", "reward": 1.0}, {**reward, "reward_version": "2", "reward": 0.5}]
    warehouse.append("rewards", tables.rows_from("rewards", versions))
    warehouse.append("join_state", tables.rows_from("join_state", [{"program": "spring", "reward_version": "2"}]))
    sql = "SELECT decision_id, activated, reward, matured FROM decision_facts ORDER BY decision_id"
    assert [tuple(row.values()) for row in warehouse.query(sql).to_pylist()] == [
        ("d1", "SENT", 0.5, True),
        ("d2", None, None, False),
    ]
    sql = 'SELECT "group", action, decisions, sent, matured FROM daily_volumes ORDER BY action'
    assert [tuple(row.values()) for row in warehouse.query(sql).to_pylist()] == [
        ("TREATMENT", NO_ACTION, 1, 0, 0),
        ("TREATMENT", "email_a", 1, 1, 1),
    ]
    assert warehouse.query("SELECT action, reason FROM exclusion_facts").num_rows == 2


@pytest.mark.parametrize("after", ["DELIVERED", "BOUNCED"])
def test_what_came_after_sending_keeps_the_time_of_sending(warehouse: Warehouse, after: str) -> None:
    """A delivered or bounced message counts as sent, at the time it was sent; alone, at its own."""
    warehouse.load(EntryKind.DECISIONS, entries(decision("d1"), decision("d2")))
    reports = [activation("d1", "SENT", at_s=2), activation("d1", after, at_s=90), activation("d2", after, at_s=50)]
    warehouse.load(
        EntryKind.ACTIVATIONS, [LogEntry(0, 10 + i, EntryKind.ACTIVATIONS, body) for i, body in enumerate(reports)]
    )
    sql = "SELECT activated, epoch_ms(activated_at) AS at_ms FROM decision_facts ORDER BY decision_id"
    rows = [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]
    assert rows == [(after, T0 + 2_000), (after, T0 + 50_000)]
    assert column(warehouse.query("SELECT sent FROM daily_volumes"), "sent") == [2]
