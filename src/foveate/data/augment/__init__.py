"""What training does to images, and to images with their masks, before they are normalised."""
