"""The counterfactual: logged decisions through what is proposed, and the history that would have been.

Imports the core below it, never `explanation`. Used by `simulation`, which reads the log and reports. Begin with
`simulate`; the other two modules are what differs from the log, in contacts and budgets and in what outcomes did.
"""
