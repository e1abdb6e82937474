"""The whole platform on one machine, for trying and for tests."""
