"""From moments and stores to limits, contours and discovery lines."""
