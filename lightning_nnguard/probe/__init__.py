"""The probe: the only code that touches a live model. One collector per kind of observation."""
