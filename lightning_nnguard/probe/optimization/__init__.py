"""What the optimizers' settings leave of a step: rates, clipping, weight decay, precision, the scaler of mixed precision.

All of it is taken on sampled steps; an unsampled step costs nothing.
"""
