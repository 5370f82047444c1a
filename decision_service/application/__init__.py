"""The service's faces over its ports: deciding, hearing what became of it, inquiring, administering.

Imports the core, `documents`, and of `simulation` what checks a proposal; never an adapter, a transport or a setting.
`rpc` serves `services.Services`; adapters implement `ports`, and everybody may speak of ports. Begin with `decisions`,
which reads as the numbered steps of docs/decide-cycle.md.
"""
