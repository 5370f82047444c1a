"""What everything speaks of: programs and policies, customers, records, values, reasons, errors.

Frozen data with hardly any behaviour. Imports nothing of ours; everybody imports it. Begin with `program`, then
`record`; a new reason is a member of `reasons.Reason`.
"""
