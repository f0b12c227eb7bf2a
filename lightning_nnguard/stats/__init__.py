"""Pure tensor functions, one file per quantity."""
