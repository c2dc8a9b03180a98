"""The only room that knows both the engine and the science: catalogue, session, and what is built on them."""
