"""What the guard sends between ranks: counted and timed on a few processes, modelled for many."""
