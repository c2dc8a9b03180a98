"""Transforms, frequency grids, shifts and Fourier cropping: the only home of ``torch.fft`` conventions."""
