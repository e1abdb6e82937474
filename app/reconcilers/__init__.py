"""What makes the cluster match what is wanted; only the leader's reconcilers run."""
