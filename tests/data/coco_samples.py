"""COCO annotations for tests."""


def run_lengths(region):
    """COCO's uncompressed counts, one pixel at a time."""
    counts, last = [0], False
    for value in region.T.reshape(-1).tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts
