"""Motion of frames: defects, rigid and local estimation, warping, dose weighting, sums. Frames are ``(frame, y, x)``, shifts ``(x, y)`` in px."""
