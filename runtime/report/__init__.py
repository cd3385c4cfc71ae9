"""From estimates to the files that people read: HTML, Markdown, JSON, Parquet and SVG."""
