"""Loss and generalisation: NNG7xx."""
