"""Files of the field, read and written: one file a format. Arrays are in MRC file order ``[z, y, x]``, row 0 first in the file."""
