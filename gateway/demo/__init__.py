"""A synthetic country and one campaign played through the product's own doors."""
