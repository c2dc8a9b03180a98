"""From half maps to the map one reads: mask, FSC, sharpening."""
