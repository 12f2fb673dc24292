"""One running plugin behind its sockets: listener, wire, lanes, calls. Nothing here starts it."""
