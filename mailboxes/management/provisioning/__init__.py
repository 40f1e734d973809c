"""An installation described as a file: `document` reads it, `keys` knows its words, `applying` makes it so.

Nothing is applied unless everything can be, every complaint names the line it is about, and all of them
come at once. Keys that are left out leave what is stored as it is.
"""
