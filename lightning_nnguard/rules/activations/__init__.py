"""Activations: NNG3xx."""
