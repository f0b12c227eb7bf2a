"""Updates, optimizer and schedule: NNG5xx."""
