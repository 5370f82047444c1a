"""Why a decision was made, and what is in force for a customer, as values and in words.

Imports all of the core but `what_if` and `estimation`: it asks the functions that decided again. Used by
`application.inquiry` and whatever shows its answers. Begin with `explain`; what would have changed an exclusion is
`what_would_change`, and how a thing is said is `wording`.
"""
