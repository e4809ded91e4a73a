"""The morning view: progress.png and report.html, from whatever a night has left behind; nothing is ever changed."""
