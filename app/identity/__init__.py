"""Who calls and what they may do, as the Kubernetes API answers it."""
