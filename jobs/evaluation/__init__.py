"""How good a model is: metrics, past days, verdict."""
