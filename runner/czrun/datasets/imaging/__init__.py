"""Images of single cells as people have them: folders, arrays, OME-TIFF and OME-Zarr."""
