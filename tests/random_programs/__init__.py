"""Random programs: whatever the modules, the batch, the precision and the order of hooks, a guard changes nothing and survives."""
