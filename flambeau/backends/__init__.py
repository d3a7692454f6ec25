"""torch.backends: the libraries that PyTorch may use, and Flambeau does not.

Programs ask what is there (nothing) and set what they would like: settings are kept, and nothing
follows from them.
"""

from flambeau.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum, quantized

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum", "quantized"]
