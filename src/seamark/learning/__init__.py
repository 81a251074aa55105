"""What every detector shares: phases, batches, the loop, checkpoints, scoring."""
