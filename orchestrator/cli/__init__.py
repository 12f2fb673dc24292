"""The command line: words in, words out. What it does lies in the client and below."""
