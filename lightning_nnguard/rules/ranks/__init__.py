"""Several processes that train together: NNG8xx."""
