"""What tests build on: a service in memory, small models, logs and registries. Nothing here is a test."""
