"""Train and eval modes: NNG6xx."""
