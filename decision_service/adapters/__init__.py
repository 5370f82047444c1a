"""The outside world, behind the ports: a folder for each system, a module where one module is all of it.

Imports the core, the ports, `contract`, `documents`, `warehouse`, and the task list of `simulation`; never `rpc`,
`operation` or `cli`. Only `operation` wires them; training and `feature_repo` use those of their own libraries. A
system gets a folder when it has a second module. Begin with `application.ports`, then a form in `memory`, then the
real one.
"""
