"""Training programs with planted faults, their cured twins, and healthy programs."""
