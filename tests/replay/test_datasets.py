"""Reading logged experiments from CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.values import NO_ACTION, ValueType
from decision_service.replay.datasets import from_csv, hillstrom, open_bandit, read_experiment
from decision_service.replay.mapping import ExperimentMapping, load_mapping

HILLSTROM = """\
recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend
10,2) $100 - $200,142.44,1,0,Surburban,0,Phone,Womens E-Mail,0,0,0
6,3) $200 - $350,329.08,1,1,Rural,1,Web,No E-Mail,1,1,29.99
7,2) $100 - $200,180.65,0,1,Surburban,1,Web,Mens E-Mail,1,0,0
"""

MAPPING = {
    "name": "spring",
    "arm": "variant",
    "arms": {"control": "NO_ACTION", "mail": {"action": "spring_mail", "channel": "email"}},
    "probability": "p",
    "features": {"age": "int", "member": "bool", "tags": "strings", "city": "string"},
    "outcomes": ["sale"],
    "rewards": {"sale": {"outcome": "sale", "high": 10}},
    "customer_id": "id",
}

CSV = """\
id,variant,p,age,member,tags,city,sale
u1,control,0.4,31,yes,a|b,Bonn,0
u2,mail,0.6,,0,,,12.5
"""


def write(folder: Path, name: str, text: str) -> Path:
    """A file with this text."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def violations(error: pytest.ExceptionInfo[InvalidRequest]) -> dict[str, str]:
    """Field → message."""
    return {v.field: v.message for v in error.value.violations}


def test_hillstrom_has_two_mails_and_a_control_arm(tmp_path: Path) -> None:
    """Features are typed, arms are named, each had probability 1/3, and the reward is the one asked for."""
    write(tmp_path, "hillstrom.csv", HILLSTROM)
    experiment = hillstrom(tmp_path, "spend")
    assert [arm.action for arm in experiment.arms] == ["mens_email", "womens_email", NO_ACTION]
    assert [row.arm for row in experiment.rows] == ["womens_email", NO_ACTION, "mens_email"]
    assert {row.probability for row in experiment.rows} == {1 / 3}
    assert experiment.rows[0].features["mens"] is True
    assert experiment.rows[0].features["recency"] == 10
    assert experiment.rewards().tolist() == [0.0, 29.99, 0.0]
    assert len({row.customer_id for row in experiment.rows}) == 3
    assert (experiment.least_probability, experiment.no_action_value) == (1 / 3, None)


def test_margins_of_hillstrom_are_in_units_of_each_reward(tmp_path: Path) -> None:
    """Visits per customer, and dollars: no share of anything, so a shift of the reward leaves them alone."""
    write(tmp_path, "hillstrom.csv", HILLSTROM)
    assert hillstrom(tmp_path, "visit").reward.margin == 0.01
    assert hillstrom(tmp_path, "spend").reward.margin == 0.05


def test_an_unknown_reward_names_the_choices(tmp_path: Path) -> None:
    """A reward that the experiment lacks is refused with those it has."""
    write(tmp_path, "hillstrom.csv", HILLSTROM)
    with pytest.raises(InvalidRequest, match="visit, conversion, spend"):
        hillstrom(tmp_path, "profit")


def test_missing_columns_are_all_named_at_once(tmp_path: Path) -> None:
    """Every missing column is one violation that says what to do and what the file has."""
    write(tmp_path, "hillstrom.csv", "recency,history,segment,visit\n1,2,No E-Mail,0\n")
    with pytest.raises(InvalidRequest) as error:
        hillstrom(tmp_path)
    found = violations(error)
    assert {field.split(":")[1] for field in found} == {
        *("history_segment", "mens", "womens", "zip_code", "newbie", "channel", "conversion", "spend")
    }
    assert all("add it or correct the mapping" in message for message in found.values())


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    """A data folder without the file is named, with what to check."""
    with pytest.raises(InvalidRequest, match="check the data folder"):
        hillstrom(tmp_path / "nowhere")


def test_open_bandit_takes_items_as_arms_and_its_logged_probabilities(tmp_path: Path) -> None:
    """Arms come from the items with their attributes, and doing nothing is known to earn no click."""
    folder = tmp_path / "bts" / "men"
    write(
        folder,
        "item_context.csv",
        ",item_id,item_feature_0,item_feature_1,item_feature_2\n0,0,-.6,aa,bb\n1,1,.2,aa,cc\n",
    )
    header = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{i}" for i in range(4))
    write(folder, "men.csv", f"{header}\n0,2019,1,3,1,0.25,a,b,c,d\n1,2019,0,1,0,0.75,a,b,c,e\n")
    experiment = open_bandit(tmp_path, "bts", "men")
    assert experiment.name == "open_bandit_men_bts"
    assert [arm.action for arm in experiment.arms] == ["item_0", "item_1"]
    assert experiment.arms[1].attributes == {"item_feature_1": "aa", "item_feature_2": "cc"}
    assert [(row.arm, row.probability, row.outcomes["click"]) for row in experiment.rows] == [
        ("item_1", 0.25, 1.0),
        ("item_0", 0.75, 0.0),
    ]
    assert (experiment.least_probability, experiment.no_action_value) == (0.25, 0.0)


def test_a_csv_of_ones_own(tmp_path: Path) -> None:
    """A mapping gives types, arms and probabilities; empty cells are missing values; rewards are clipped."""
    mapping = write(
        tmp_path,
        "m.yaml",
        "name: spring\narm: variant\narms: {control: NO_ACTION, mail: {action: spring_mail, channel: email}}\n"
        "probability: p\nfeatures: {age: int, member: bool, tags: strings, city: string}\n"
        "outcomes: [sale]\nrewards: {sale: {outcome: sale, high: 10}}\ncustomer_id: id\n",
    )
    experiment = from_csv(write(tmp_path, "d.csv", CSV), mapping)
    first, second = experiment.rows
    assert first.features == {"age": 31, "member": True, "tags": ("a", "b"), "city": "Bonn"}
    assert second.features == {"age": None, "member": False, "tags": None, "city": None}
    assert (first.customer_id, first.arm, first.probability) == ("u1", NO_ACTION, 0.4)
    assert experiment.rewards().tolist() == [0.0, 10.0]
    assert experiment.feature_types["tags"] is ValueType.STRINGS
    assert [arm.action for arm in experiment.contact_arms] == ["spring_mail"]


def test_unreadable_cells_are_named_by_line_and_column(tmp_path: Path) -> None:
    """Wrong types, unknown arms, impossible probabilities and repeated customers are reported together."""
    bad = CSV + "u1,letter,1.5,old,maybe,,,inf\n"
    with pytest.raises(InvalidRequest) as error:
        read_experiment(write(tmp_path, "d.csv", bad), ExperimentMapping.model_validate(MAPPING))
    assert set(violations(error)) == {f"d.csv:4:{c}" for c in ("id", "variant", "p", "age", "member", "sale")}


def test_a_wrong_column_does_not_name_every_line(tmp_path: Path) -> None:
    """At most about ten cells are named, however many are wrong."""
    many = CSV + "".join(f"v{i},mail,0.6,x,1,,,0\n" for i in range(500))
    with pytest.raises(InvalidRequest) as error:
        read_experiment(write(tmp_path, "d.csv", many), ExperimentMapping.model_validate(MAPPING))
    assert len(error.value.violations) == 10


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    """A header alone is not an experiment."""
    with pytest.raises(InvalidRequest, match="no rows"):
        read_experiment(write(tmp_path, "d.csv", CSV[:40].split("\n")[0]), ExperimentMapping.model_validate(MAPPING))


def test_arms_may_be_left_to_the_file(tmp_path: Path) -> None:
    """Without `arms`, every value of the arm column is an action of its own, equally likely if so declared."""
    mapping = ExperimentMapping.model_validate({**MAPPING, "arms": {}, "probability": "uniform"})
    experiment = read_experiment(write(tmp_path, "d.csv", CSV), mapping)
    assert [arm.action for arm in experiment.arms] == ["control", "mail"]
    assert {row.probability for row in experiment.rows} == {0.5}


def field_experiment(shares: dict[str, int]) -> str:
    """A CSV with so many rows of each variant."""
    rows = [variant for variant, rows in shares.items() for _ in range(rows)]
    return "id,variant,p,age,member,tags,city,sale\n" + "".join(f"u{i},{v},0.5,1,1,,,0\n" for i, v in enumerate(rows))


@pytest.mark.parametrize(
    ("probability", "counts", "expected"),
    [
        ("uniform", {"control": 100, "mail": 100}, ""),
        ("uniform", {"control": 160, "mail": 40}, "control has 80.00% of the rows, designed were 50.00%"),
        ({"control": 0.8, "mail": 0.2}, {"control": 160, "mail": 40}, ""),
        ({"control": 0.8, "mail": 0.2}, {"control": 100, "mail": 100}, "sample ratio mismatch"),
        ({"control": 0.6, "mail": 0.2}, {"control": 150, "mail": 50}, "sums to 0.8, not 1"),
        (0.25, {"control": 100, "mail": 100}, "control 0.25, mail 0.25: sums to 0.5"),
        (0.5, {"control": 100, "mail": 100}, ""),
        ("p", {"control": 100, "mail": 100}, ""),
        ("p", {"control": 170, "mail": 30}, "the sum of 1/p over an arm's rows should be 100 %"),
    ],
)
def test_the_design_is_checked_against_the_file(
    tmp_path: Path, probability: object, counts: dict[str, int], expected: str
) -> None:
    """Shares that do not sum to 1, and files that do not have them, are refused: no value would be true."""
    path = write(tmp_path, "d.csv", field_experiment(counts))
    mapping = ExperimentMapping.model_validate({**MAPPING, "probability": probability})
    if expected:
        with pytest.raises(InvalidRequest) as error:
            read_experiment(path, mapping)
        assert expected in str(error.value)
    else:
        assert len(read_experiment(path, mapping).rows) == 200


def test_the_least_probability_is_the_designs_or_declared(tmp_path: Path) -> None:
    """With a column, the least that the file has; a row below a declared one is a contradiction."""
    path = write(tmp_path, "d.csv", CSV)
    assert read_experiment(path, ExperimentMapping.model_validate(MAPPING)).least_probability == 0.4
    declared = ExperimentMapping.model_validate({**MAPPING, "least_probability": 0.1})
    assert read_experiment(path, declared).least_probability == 0.1
    with pytest.raises(InvalidRequest, match="below `least_probability`"):
        read_experiment(path, ExperimentMapping.model_validate({**MAPPING, "least_probability": 0.5}))


def test_without_a_control_arm_no_action_earns_what_is_declared_or_the_least(tmp_path: Path) -> None:
    """The service may choose it all the same; the declared value must be a possible reward."""
    path = write(tmp_path, "d.csv", CSV)
    arms = {"control": {"action": "letter"}, "mail": {"action": "mail"}}
    reward = {"sale": {"outcome": "sale", "low": -2, "high": 10}}

    def read(**change: object) -> float | None:
        mapping = ExperimentMapping.model_validate({**MAPPING, "arms": arms, "rewards": reward, **change})
        return read_experiment(path, mapping).no_action_value

    assert read() == -2
    assert read(no_action_value=0) == 0
    with pytest.raises(InvalidRequest, match=r"outside the reward's bounds \[-2, 10\]"):
        read(no_action_value=-3)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"outcome": ["sale"]}, "outcome", "unknown key"),
        ({"features": None}, "features", "dict"),
        ({"probability": 1.5}, "probability.constrained-float", "less than or equal to 1"),
        ({"rewards": {"sale": {"outcome": "sold"}}}, "m.yaml", "not listed in `outcomes`"),
        ({"rewards": {"sale": {"outcome": "sale", "low": 2}}}, "rewards.sale", "below `high`"),
        ({"features": {"sale": "float"}}, "m.yaml", "cannot be a feature"),
        ({"no_action_value": 0}, "m.yaml", "without a NO_ACTION arm"),
        ({"probability": {"mail": 0.5}}, "m.yaml", "same arm values"),
        ({"probability": "uniform", "least_probability": 0.1}, "m.yaml", "`probability` that is a column"),
        ({"rewards": {"sale": {"outcome": "sale", "margin": -1}}}, "rewards.sale.margin", "greater than or equal to 0"),
    ],
)
def test_a_wrong_mapping_names_the_key_and_the_fix(
    tmp_path: Path, change: dict[str, object], field: str, message: str
) -> None:
    """Each mistake in a mapping is one violation at its key."""
    import yaml

    path = write(tmp_path, "m.yaml", yaml.safe_dump({**MAPPING, **change}))
    with pytest.raises(InvalidRequest) as error:
        load_mapping(path)
    assert any(field in name and message in text for name, text in violations(error).items()), error.value


def test_rows_are_shuffled_by_seed(tmp_path: Path) -> None:
    """The same seed gives the same order, and a sample is the beginning of it."""
    many = CSV + "".join(f"v{i},mail,0.6,1,1,,,0\n" for i in range(50))
    experiment = read_experiment(write(tmp_path, "d.csv", many), ExperimentMapping.model_validate(MAPPING))
    whole, part = experiment.sample(None, seed=1), experiment.sample(20, seed=1)
    assert whole.rows[:20] == part.rows
    assert whole.rows != experiment.rows
    assert {r.customer_id for r in whole.rows} == {r.customer_id for r in experiment.rows}
