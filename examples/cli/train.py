"""A LightningCLI whose YAML file names the guard: `python -m examples.cli.train fit --config examples/cli/config.yaml`.

Look at: `callbacks` in config.yaml. Arguments of the guard can be set there, or on the command line with
`--trainer.callbacks.every_n_steps 10`; a mistake in one is told before training begins.
"""

from __future__ import annotations

from lightning.pytorch.cli import LightningCLI

from examples.digits import DigitsData, DigitsNet
from examples.quiet import quieten


def main() -> None:
    """Do what the command line says."""
    quieten()
    LightningCLI(DigitsNet, DigitsData, save_config_callback=None)


if __name__ == "__main__":
    main()
