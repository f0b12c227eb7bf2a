"""The audit: one batch under the function mode, every call recorded, and what the record says about how a run is wired."""
