"""The closed vocabulary of reasons, shared by the API, the log, metrics and the console.

Each reason is declared once, with its meaning and what a marketer can do about it; the proto enum
`nba.v1.Reason` lists the same names, and a test fails where one of the two forgot a name.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an action was excluded, or what was particular about an answer."""

    meaning: str
    remedy: str

    def __new__(cls, name: str, meaning: str, remedy: str) -> Reason:
        """Build a member whose value is its name, carrying its documentation."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        member.remedy = remedy
        return member

    NOT_IN_AUDIENCE = (
        "NOT_IN_AUDIENCE",
        "The customer does not satisfy the program's audience rule.",
        "Widen the program's `audience`, or check the customer's features.",
    )
    INELIGIBLE = (
        "INELIGIBLE",
        "The action's eligibility rule is false for this customer.",
        "Change the action's `eligible` rule, or check the features it names.",
    )
    NOT_STARTED = (
        "NOT_STARTED",
        "The action's or program's start time lies ahead.",
        "Move `starts_at` earlier.",
    )
    EXPIRED = ("EXPIRED", "The action's or program's end time has passed.", "Move `ends_at` later.")
    CHANNEL_NOT_REQUESTED = (
        "CHANNEL_NOT_REQUESTED",
        "The caller asked for other channels only.",
        "Have the journey request this channel too.",
    )
    NO_CONSENT = (
        "NO_CONSENT",
        "The customer has not consented to this channel, or the consent could not be read.",
        "Collect consent; the policy's `consent` names the feature that is read. Where it could not be read, check the "
        "feature store and the last `nba features build`.",
    )
    SUPPRESSED = (
        "SUPPRESSED",
        "The customer is suppressed on this channel or on all channels.",
        "Lift it with `nba unsuppress` if it is no longer meant.",
    )
    SUPPRESSED_BY_OUTCOME = (
        "SUPPRESSED_BY_OUTCOME",
        "An outcome such as an unsubscribe suppressed the channel, or several paused the action, its channel or a tag.",
        "Nothing, as a rule: the customer asked for it. A pause ends by itself, as the policy's `pause_on` says; "
        "`nba unsuppress` lifts a suppression, after renewed consent.",
    )
    FREQUENCY_CAP = (
        "FREQUENCY_CAP",
        "One more contact would exceed a frequency cap.",
        "Raise the named cap's `limit`, shorten its window or `gap`, or wait; what must be sent has `ignores_caps`.",
    )
    QUIET_HOURS = (
        "QUIET_HOURS",
        "It is quiet hours, or a quiet day, for this channel where the customer is: `when_quiet` is `discard`, or the "
        "lease of what was queued ends before they do.",
        "Decide later, or set the quiet hours' `when_quiet` to `queue`.",
    )
    TIMEZONE_UNKNOWN = (
        "TIMEZONE_UNKNOWN",
        "The customer's time zone is unknown and the policy excludes on that, or it could not be read.",
        "Fill the time-zone feature, send the zone in the context, or set the policy's `unknown_timezone` to a zone, "
        "which is for customers without one, not for zones that could not be read.",
    )
    VOLUME_LIMIT = (
        "VOLUME_LIMIT",
        "A budget that concerns the action is used up, or its pace allows no more by now.",
        "Raise the named budget's `limit` or `money`, remove its `pace`, or wait for its next period.",
    )
    HOLDOUT = (
        "HOLDOUT",
        "The customer belongs to a holdout group and is not contacted.",
        "Nothing: the holdout measures lift. Its size is set in the program or contact policy.",
    )
    BASELINE_ONLY = (
        "BASELINE_ONLY",
        "The group or learning mode serves the baseline, which is another action.",
        "Nothing for BUSINESS_AS_USUAL; set `learning_mode: online` to let the model decide.",
    )
    CAP_RACE_LOST = (
        "CAP_RACE_LOST",
        "Another decision took the last slot of a cap, or the last of a budget, between draw and commit.",
        "Nothing; the answer is NO_ACTION, and what was drawn is learned from as drawn.",
    )
    RULE_ERROR = (
        "RULE_ERROR",
        "A rule could not be evaluated, often because it names a missing feature, or one that could not be read.",
        "Guard the rule with `has(...)`, or fill the feature; no guard helps where it could not be read: check the "
        "feature store and the last `nba features build`.",
    )
    FEATURES_MISSING = (
        "FEATURES_MISSING",
        "The features could not be read in time, or the customer is not in the feature store.",
        "Check the feature store and the last `nba features build`.",
    )
    FEATURES_STALE = (
        "FEATURES_STALE",
        "A feature view is older than its time to live: its features are not known any more.",
        "Run `nba features build` more often, or raise the view's ttl.",
    )
    WITHDRAWN = (
        "WITHDRAWN",
        "The program is paused or no longer published, or the action no longer part of it.",
        "`nba resume` the program, or `nba apply` it with the action.",
    )
    LEASE_LAPSED = (
        "LEASE_LAPSED",
        "The decision's lease is over: its slot may have gone to another, so it must not be sent any more.",
        "Have the runner send within the lease, or lengthen the program's `lease`; a new request decides anew.",
    )
    ALREADY_REPORTED = (
        "ALREADY_REPORTED",
        "What became of this decision was reported before: it was sent, or given up.",
        "Nothing: sending it once more would contact the customer twice. A new request decides anew.",
    )
    MODEL_MISSING = (
        "MODEL_MISSING",
        "No model is loaded for this program; the draw was uniform over the feasible actions.",
        "Let the trainer promote one: `nba train`, `nba promote`.",
    )
    MODEL_REJECTED = (
        "MODEL_REJECTED",
        "The model failed its checks or returned invalid scores and was not used.",
        "`nba status` says why; `nba demote` goes back to the model before.",
    )
