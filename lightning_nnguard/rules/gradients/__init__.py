"""Gradients, after unscaling and before clipping: NNG4xx."""
