"""Explanations of a comparison that the score does not bring itself, and the bench that judges them all."""
