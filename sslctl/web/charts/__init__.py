"""Charts of the page as inline SVG: pure functions from numbers to markup.

They hold no style and no script, so that they need no exception in a Content Security Policy. Colours are classes, which
`static/charts.css` defines for light and dark. Every chart has a title, a description, and its numbers as a table. What a
colour shows, a pattern or a label shows too.
"""
