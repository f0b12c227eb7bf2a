"""Panels: pure functions from observations to charts. The annotation of a panel's argument is its subscription."""
