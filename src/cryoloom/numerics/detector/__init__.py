"""What a camera adds to every image: the pattern of its pixels' gains."""
