"""What `crnn demo` shows, on data that everybody has: a module for each demonstration."""
