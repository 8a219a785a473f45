"""Data for detection: pictures with boxes around objects, from one file a format."""
