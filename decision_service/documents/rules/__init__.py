"""The language of rules: what documents check of one, what it reads, and what it may cost.

Imports CEL and nothing of ours but `core.model`. Begin with `rule_language`.
"""
