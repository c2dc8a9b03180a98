"""The web server: HTTP in, session calls, JSON and pictures out. No decisions here."""
