"""The alignment engine: global search by matrix products, Levenberg-Marquardt on the pose, a posterior from the curvature."""
