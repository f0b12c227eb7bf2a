"""The guard in a LightningCLI configuration."""
