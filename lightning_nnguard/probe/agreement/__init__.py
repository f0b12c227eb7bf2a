"""What ranks have in common: batches, copies of parameters, random numbers, time.

Ranks compare whole numbers without a message of their own: a number and its complement travel in the maximum of a sampled step, and
they add up to the same on all ranks only when all have sent the same number. So the cost does not depend on the number of ranks.
"""
