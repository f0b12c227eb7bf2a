"""The one adapter to Lightning, and the drop-ins made of it."""
