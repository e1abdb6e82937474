"""The way to the gateway for commands that send requests through it: where it is, whom to trust, who asks."""
