"""Whole installations on real servers, as an operator would find them."""
