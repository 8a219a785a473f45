"""The numbers that a mask's pixels hold beside those of its classes."""

IGNORE = 255  # in a mask: a pixel that neither trains nor counts
BACKGROUND = "background"  # the class of what nothing claims
MOST_CLASSES = 255  # that masks can tell apart: 0 to 254
