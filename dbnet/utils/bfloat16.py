"""Where bfloat16 pays."""


def has_fast_bfloat16(device: str | None = None) -> bool:
    """Check whether a device computes bfloat16 natively; emulation is slower than float32.

    The device is "cpu" or "cuda"; None for a GPU if there is one.
    """
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
