"""From a map of distances to score, class and region."""
