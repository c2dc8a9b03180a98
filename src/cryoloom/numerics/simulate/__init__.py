"""The ground truth: phantoms, their exact projections, and the experiment that blurs them. Shares no code with what it tests."""
