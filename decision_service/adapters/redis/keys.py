"""The ledger's keys: all of a customer, and the log stream its records go to, share the hash tag of one shard.

nba:{sN}:c:CUSTOMER             hash    v → version, c:DECISION → contact, x:REASON:CHANNEL → suppression,
                                        e:NAME → "total;ms,ms,…" newest first
nba:{sN}:l:CUSTOMER             string  id of the last change, for as long as it may be repeated
nba:{sN}:q:CUSTOMER\\0REQUEST    string  log entry of the decision under that request id
nba:{sN}:d:DECISION             string  the key above, so that a decision is found by its own id
nba:{sN}:a:DECISION             string  the statuses reported, in the order in which they came, with commas
nba:{sN}:k:DECISION             string  log entry of the STOP that was given
nba:{sN}:i:CUSTOMER\\0FACT       string  digest of an outcome or event already recorded
nba:{sN}:log                    stream  entries in the order of commit, field `b`
"""

from __future__ import annotations

import zlib

from decision_service.adapters.redis.installation import in_service_key
from decision_service.core.model.errors import NotFound
from decision_service.core.model.record import Event, Outcome, identity


def shard_of(customer_id: str, shards: int) -> int:
    """The customer's shard in [0, shards): CRC-32 of the id, the same in every process."""
    return zlib.crc32(customer_id.encode()) % shards


def shard_in(decision_id: str) -> int:
    """The shard that a decision's id names.

    Raises:
        NotFound: this is no id that Decide returned.
    """
    try:
        return int(decision_id.partition("-")[0], 16)
    except ValueError:
        raise NotFound("decision", decision_id, "this is not an id that Decide returned") from None


class Keys:
    """Those of one shard."""

    def __init__(self, shard: int) -> None:
        self._tag = f"nba:{{s{shard}}}"
        self.log = f"{self._tag}:log"
        self.ledger = in_service_key(shard)

    def customer(self, customer_id: str) -> str:
        """Its state."""
        return f"{self._tag}:c:{customer_id}"

    def last(self, customer_id: str) -> str:
        """The id of the last change of its state."""
        return f"{self._tag}:l:{customer_id}"

    def request(self, customer_id: str, request_id: str) -> str:
        """The decision under a request id."""
        return f"{self._tag}:q:{customer_id}\0{request_id}"

    def decision(self, decision_id: str) -> str:
        """Where a decision's record is."""
        return f"{self._tag}:d:{decision_id}"

    def reported(self, decision_id: str) -> str:
        """The statuses reported on a decision."""
        return f"{self._tag}:a:{decision_id}"

    def stopped(self, decision_id: str) -> str:
        """The STOP given for a decision."""
        return f"{self._tag}:k:{decision_id}"

    def fact(self, fact: Outcome | Event) -> str:
        """That an outcome or event is recorded."""
        kind = "o" if isinstance(fact, Outcome) else "e"
        customer_id, *rest = identity(fact)
        return f"{self._tag}:i:{customer_id}\0{kind}" + "\0".join(rest)
