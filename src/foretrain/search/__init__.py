"""What to train next: the searches, the selection agent, halving."""
