"""What a run is set up of: parameters and who trains them, optimizers and what they hold, metrics, weights that were loaded."""
