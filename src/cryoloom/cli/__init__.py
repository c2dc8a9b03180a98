"""The command line: arguments in, session calls, text or JSON out. No decisions here."""
