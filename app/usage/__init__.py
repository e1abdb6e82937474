"""What was used, by Prometheus' account, and what it costs."""
