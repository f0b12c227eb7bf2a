"""What goes in: NNG1xx."""
