"""torch.backends.quantized. There are no quantised tensors."""

engine = "none"
supported_engines: list[str] = []
