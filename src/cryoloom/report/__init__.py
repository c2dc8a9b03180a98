"""Reports: panels as data, their drawing, and the self-contained page that gathers them."""
