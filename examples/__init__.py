"""Programs that show the guard at work. Run one as `python -m examples.NAME`."""
