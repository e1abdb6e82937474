"""The models that can be called."""
