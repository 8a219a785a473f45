"""What becomes of a detector's boxes: drawn on pictures, and written as COCO annotations."""
