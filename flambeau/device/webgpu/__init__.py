"""The webgpu device. wgpu itself is imported when the device is first started."""

from flambeau.device.webgpu.device import STATISTICS, WebGpuDevice

__all__ = ["STATISTICS", "WebGpuDevice"]
