"""What crosses a boundary of processes: protobuf of `nba.v1` in and out, and the artifact that a model travels in.

Imports the core and the ports' types; used by `rpc`, the client, adapters, the warehouse and training. `pb` is
generated. Begin with `codec`; `messages` and `record_messages` are the conversions, `model_artifact` the contract
between training and serving.
"""
