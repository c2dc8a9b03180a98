"""Networks: what they look like, how their images are levelled, how they are fitted, and the weights that come with cryoloom."""
