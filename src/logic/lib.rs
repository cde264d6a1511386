//! Sans-IO messaging logic: sessions, handlers, fan-out. No sockets, files, threads, clock or randomness.

pub mod job;
