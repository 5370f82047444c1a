"""The gRPC server: what comes in is checked and converted, what goes out is converted back, errors become statuses.

Imports the application, `contract` and the core; never an adapter. Used by `operation`; `status` by the client, since
both ends map errors by one table. Begin with `servicer`, one method for each of the API.
"""
