"""The gateway's edge: what only Envoy and Authorino reach."""
