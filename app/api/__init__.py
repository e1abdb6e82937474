"""The public edge: what people reach through the gateway, under /maas-api and /v1."""
