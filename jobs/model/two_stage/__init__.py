"""Two stages: candidates of several generators, ranked by trees; then the rules of the shelf."""
