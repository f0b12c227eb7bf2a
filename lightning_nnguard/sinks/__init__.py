"""Sinks: where findings and charts go."""
