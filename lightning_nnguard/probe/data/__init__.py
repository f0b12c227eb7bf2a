"""Statistics of the batches: labels, and what the first layers are given in training and in validation."""
