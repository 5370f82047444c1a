"""The job of `feature_repo`: from SQL to the online store."""
