"""How good a matcher is: protocols, scores, error rates with their uncertainty, and the report of a run."""
