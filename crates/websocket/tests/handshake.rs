//! HTTP, refusals, and what a client may send.
