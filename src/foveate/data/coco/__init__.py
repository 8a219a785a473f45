"""COCO annotations as masks or as labels."""
