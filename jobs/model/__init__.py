"""The recommender: matrix, factors, scores, popularity."""
