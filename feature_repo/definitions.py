"""What Feast knows: the customer, the views that `sql/` builds, and one FeatureService per model input contract.

A view needs `sql/<view>.sql` of the same columns. A FeatureService never changes once a model was trained on it:
add the next version instead.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, FeastType, Float64, Int64, String

# `feature_repo.build` hands DATA_DIR in; the plain `feast` command takes the home that the product would take, and
# needs the folder to be there: it makes one level of its registry's path, no more.
if "DATA_DIR" not in globals():
    DATA_DIR = (Path(os.environ.get("NBA_HOME") or Path(__file__).parent.parent / ".nba") / "features").resolve()
    DATA_DIR.mkdir(parents=True, exist_ok=True)


def _source(view: str) -> FileSource:
    return FileSource(name=view, path=str(Path(DATA_DIR, f"{view}.parquet")), timestamp_field="event_timestamp")


def _fields(**types: FeastType) -> list[Field]:
    return [Field(name=name, dtype=dtype) for name, dtype in types.items()]


customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)

customer_profile = FeatureView(
    name="customer_profile",
    entities=[customer],
    ttl=timedelta(days=30),
    schema=_fields(
        country=String,
        timezone=String,
        loyalty_tier=String,
        tenure_days=Int64,
        email_consent=Bool,
        sms_consent=Bool,
        push_consent=Bool,
    ),
    source=_source("customer_profile"),
)

customer_orders = FeatureView(
    name="customer_orders",
    entities=[customer],
    ttl=timedelta(days=7),
    schema=_fields(
        orders_total=Int64,
        orders_30d=Int64,
        spend_30d=Float64,
        spend_365d=Float64,
        average_order_value=Float64,
        days_since_order=Int64,
        favourite_category=String,
    ),
    source=_source("customer_orders"),
)

customer_engagement = FeatureView(
    name="customer_engagement",
    entities=[customer],
    ttl=timedelta(days=7),
    schema=_fields(
        contacts_7d=Int64,
        contacts_30d=Int64,
        days_since_contact=Int64,
        responses_30d=Int64,
        days_since_response=Int64,
        tickets_30d=Int64,
        days_since_ticket=Int64,
        last_satisfaction=Int64,
    ),
    source=_source("customer_engagement"),
)

customer_segments = FeatureView(
    name="customer_segments",
    entities=[customer],
    ttl=timedelta(days=7),
    schema=_fields(segments=Array(String)),
    source=_source("customer_segments"),
)

customer_traits_push = PushSource(name="customer_traits_push", batch_source=_source("customer_traits"))

customer_traits = FeatureView(
    name="customer_traits",
    entities=[customer],
    ttl=timedelta(days=1),
    schema=_fields(cart_value=Float64, last_category_viewed=String, session_pages=Int64),
    source=customer_traits_push,
)

customer_v1 = FeatureService(
    name="customer_v1", features=[customer_profile, customer_orders, customer_engagement, customer_segments]
)

customer_realtime_v1 = FeatureService(
    name="customer_realtime_v1",
    features=[customer_profile, customer_orders, customer_engagement, customer_segments, customer_traits],
)
