"""What loss functions get of a network: how its outputs spread in training, and which classes it predicts in evaluation."""
