"""Devices: where programs run. Each is started at its first use."""

from __future__ import annotations

from flambeau.device.base import Buffer, Device, Executable, get, names, register

__all__ = ["Buffer", "Device", "Executable", "get", "names", "register"]


def _cpu() -> Device:
    from flambeau.device.cpu import CpuDevice

    return CpuDevice()


def _webgpu() -> Device:
    from flambeau.device.webgpu import WebGpuDevice

    return WebGpuDevice()


def _reference() -> Device:
    from flambeau.device.reference import ReferenceDevice

    return ReferenceDevice()


def _meta() -> Device:
    from flambeau.device.meta import MetaDevice

    return MetaDevice()


register("cpu", _cpu)
register("webgpu", _webgpu)
register("reference", _reference)
register("meta", _meta)
