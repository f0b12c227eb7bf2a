"""How model, loss and optimizer hang together: NNG2xx."""
