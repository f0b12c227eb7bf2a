"""The offending batch on disk: saving it when a run goes bad, and running it again afterwards."""

from __future__ import annotations

import io
import random
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_nnguard.probe.batches import float_tensors_in
from lightning_nnguard.probe.copies import detached_copy, trainer_numbers
from lightning_nnguard.probe.nonfinite import BatchKept
from lightning_nnguard.probe.origin import find_origin, is_finite

FORMAT = 1


def save_batch(module: nn.Module, kept: BatchKept, path: Path) -> None:
    """Write a batch, the random state at its start and the module as it is now to one file.

    Args:
        module: The user's LightningModule, its weights not yet updated with this batch.
        kept: The batch.
        path: File to write; its folder is made.

    Raises:
        OSError: If the file cannot be written.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    content: dict[str, Any] = {
        "format": FORMAT,
        "batch": _pickled(kept.batch),
        "module": _pickled(_copied(module)),
        "trainer": trainer_numbers(module),
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "script": str(Path(script).resolve()) if script else None,
        "step": kept.at.step,
        "epoch": kept.at.epoch,
        "batch_index": kept.at.batch_index,
        "torch_rng": kept.rng,
        "python_rng": random.getstate(),
        "numpy_rng": np.random.get_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def _copied(module: nn.Module) -> nn.Module | None:
    try:
        return detached_copy(module, silent=False)
    except Exception:
        return None


def _pickled(value: object) -> bytes | None:
    """Return a value pickled by itself, so that one that cannot be pickled or loaded leaves the rest of the file usable."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
    except Exception:
        return None
    return buffer.getvalue()


def replay(path: Path, script: Path | None = None) -> str:
    """Run a saved batch again and say where it breaks.

    The file is a pickle: load only files that you trust.

    Args:
        path: File that a run has saved (`nnguard_nonfinite_*.pt`).
        script: The training script, when the module's class was defined in it and it has moved since.

    Returns:
        The report, several lines.

    Raises:
        ValueError: If the file is none of ours, or its module cannot be loaded.
    """
    try:
        content = torch.load(path, weights_only=False, map_location="cpu")
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a saved batch: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a batch saved by NNGuard")
    _import_main(script or (Path(content["script"]) if content["script"] else None), content["class"])
    batch = _load(content["batch"], "batch", content["class"])
    module = _load(content["module"], "module", content["class"])
    if not isinstance(module, nn.Module):
        raise ValueError(f"the module was not saved: it cannot be copied ({content['class']})")
    lines = [f"{path.name}: {content['class']}, step {content['step']}, epoch {content['epoch']}, batch {content['batch_index']}"]
    bad_inputs = [
        f"  input: {name} holds {int((~torch.isfinite(tensor)).sum())} non-finite of {tensor.numel()} values"
        for name, tensor in float_tensors_in(batch)
        if not is_finite(tensor)
    ]
    bad_weights = [
        f"  weight: {name} was already non-finite"
        for name, each in module.named_parameters()
        if each.numel() and not is_finite(each)
    ]
    lines += bad_inputs or ["  input: every float tensor of the batch is finite"]
    lines += bad_weights[:5]
    random.setstate(content["python_rng"])
    np.random.set_state(content["numpy_rng"])
    origin = find_origin(module, batch, content["batch_index"], rng=content["torch_rng"], trainer=content["trainer"])
    if origin is not None:
        lines.append(f"  forward: {origin}")
    else:
        lines.append("  forward: no call turned finite inputs into non-finite values")
    return "\n".join(lines)


def _load(data: bytes | None, what: str, class_name: str) -> Any:
    if data is None:
        raise ValueError(f"the {what} was not saved: it cannot be pickled ({class_name})")
    try:
        return torch.load(io.BytesIO(data), weights_only=False, map_location="cpu")
    except Exception as error:
        raise ValueError(
            f"the {what} cannot be loaded: {type(error).__name__}: {error}. If {class_name} is defined in a script, name it: "
            "nnguard replay FILE --script train.py"
        ) from error


def _import_main(script: Path | None, class_name: str) -> None:
    """Make classes that were defined in the training script loadable, without running its main part."""
    if not class_name.startswith("__main__.") or script is None or not script.exists():
        return
    sys.path.insert(0, str(script.parent))
    names = runpy.run_path(str(script), run_name="__nnguard_replay__")
    main = sys.modules["__main__"]
    for name, value in names.items():
        if not name.startswith("__"):
            setattr(main, name, value)
            if isinstance(value, type) and value.__module__ == "__nnguard_replay__":
                value.__module__ = "__main__"
